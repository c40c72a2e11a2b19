/**
 * The desktop's place in the site: the page, the pictures' WebSocket, who is there, keyboards and files. Who may only
 * look gets the page, the pictures and who is there, and nothing else.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { json } from 'node:stream/consumers'
import type { WebSocket, WebSocketServer } from 'ws'
import { refuse, responseOn } from '../forward.ts'
import { isSameOrigin, sendAsset, sendJson } from '../site/answers.ts'
import type { Assets } from '../site/assets.ts'
import type { Place } from '../site/index.ts'
import { counting, visitorOf, type Visitor } from '../site/visitor.ts'
import { bridge, closeCodes } from './bridge.ts'
import type { Conflict, Files } from './files.ts'
import type { Keyboards } from './keyboards.ts'
import { createRoom, type Room } from './room.ts'

export interface DesktopPlaceOptions {
  readonly assets: Assets
  /** The owner's name, for who comes without one. */
  readonly user: string
  /** Where Xvnc listens. Undefined: it is not there, or not any more. */
  readonly socketPath: () => string | undefined
  readonly files: Files
  readonly keyboards: Keyboards
  /** Whether JupyterLab is beside it. */
  readonly hasNotebook: () => boolean
  readonly onInput: () => void
  readonly say: (line: string) => void
}

const largestMessageBytes = 4 * 1024 * 1024
const largestBodyBytes = 1_024
/** Longer than what proxies on the way wait for. */
const heartbeatMs = 20_000
const conflicts: readonly Conflict[] = ['refuse', 'rename', 'replace']

export function createDesktopPlace(options: DesktopPlaceOptions): Place {
  const { assets, user, files, keyboards, hasNotebook, onInput } = options
  const room = createRoom()
  const streams = new Set<ServerResponse>()
  let server: WebSocketServer | undefined

  async function request(path: string, incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const visitor = visitorOf(incoming)
    const { searchParams: query } = new URL(incoming.url ?? '/', 'http://localhost')
    const isRead = incoming.method === 'GET' || incoming.method === 'HEAD'
    if (isRead && path === '') return await sendPage(incoming, response)
    if (isRead && path === 'who') return follow({ room, streams, user, hasNotebook, visitor, query, response })
    if (visitor.looksOnly) return refuse(response, 403, 'You may only look here.')
    if (!isRead && !isSameOrigin(incoming)) return refuse(response, 403, 'This page is from elsewhere.')
    const wanted = query.get('path') ?? ''
    switch (`${isRead ? 'GET' : incoming.method} ${path}`) {
      case 'GET folder':
        return await files.list(wanted, response)
      case 'GET file':
        counting(incoming, onInput)()
        return await files.download(wanted, incoming, response)
      case 'PUT file': {
        counting(incoming, onInput)()
        const conflict = conflicts.find((each) => each === query.get('conflict')) ?? 'refuse'
        return await files.upload(wanted, conflict, incoming, response)
      }
      case 'GET keyboards':
        return sendJson(response, 200, await keyboards.list())
      case 'POST keyboards':
        return await chooseKeyboard(incoming, response)
      default:
        return refuse(response, 404, 'Not found.')
    }
  }

  async function sendPage(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const page = await assets.page('desktop.html', user)
    if (page) sendAsset(page, incoming, response)
    else refuse(response, 404, 'Not found.')
  }

  async function chooseKeyboard(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const isSmall = Number(incoming.headers['content-length'] ?? Infinity) <= largestBodyBytes
    const body: unknown = isSmall ? await json(incoming).catch(() => undefined) : undefined
    const name = typeof body === 'object' && body !== null && 'layout' in body ? body.layout : undefined
    const isChosen = typeof name === 'string' && (await keyboards.choose(name))
    if (isChosen) return sendJson(response, 200, { layout: name })
    sendJson(response, 400, { detail: 'layout: there is no such keyboard layout here. Choose one of the list.' })
  }

  async function upgrade(path: string, incoming: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    if (path !== 'ws') return refuse(responseOn(incoming, socket), 404, 'Not found.')
    if (!isSameOrigin(incoming)) return refuse(responseOn(incoming, socket), 403, 'This page is from elsewhere.')
    socket.on('error', () => socket.destroy())
    const { WebSocketServer } = await import('ws')
    if (socket.destroyed) return
    server ??= new WebSocketServer({ noServer: true, maxPayload: largestMessageBytes, perMessageDeflate: false })
    server.handleUpgrade(incoming, socket, head, (opened) => {
      const { searchParams } = new URL(incoming.url ?? '/', 'http://localhost')
      open(opened, visitorOf(incoming), windowOf(searchParams))
    })
  }

  function open(socket: WebSocket, { name = user, looksOnly, isUser }: Visitor, window: string): void {
    socket.on('error', () => undefined)
    const socketPath = options.socketPath()
    if (socketPath === undefined) return socket.close(closeCodes.away, 'the desktop is not there')
    const leave = room.enter({ name, looksOnly, window })
    if (leave === undefined) return socket.close(closeCodes.tooMany, 'too many windows')
    socket.once('close', leave)
    bridge({ socket, socketPath, looksOnly, onInput: isUser ? onInput : () => undefined, say: options.say })
  }

  return {
    request,
    upgrade,
    close() {
      for (const socket of server?.clients ?? []) socket.close(1001, 'the environment is being stopped')
      for (const stream of streams) stream.end()
    },
  }
}

interface Following {
  readonly room: Room
  readonly streams: Set<ServerResponse>
  readonly user: string
  readonly hasNotebook: () => boolean
  readonly visitor: Visitor
  readonly query: URLSearchParams
  readonly response: ServerResponse
}

/** Server-sent events: who is there, at once and whenever it changes. */
function follow({ room, streams, user, hasNotebook, visitor, query, response }: Following): void {
  const own = windowOf(query)
  let last = ''
  const tell = (): void => {
    const people = room.list().map(({ name, looksOnly, window }) => ({ name, looksOnly, isYou: window === own }))
    const { looksOnly, name = user } = visitor
    const text = JSON.stringify({ people, you: { name, looksOnly }, notebook: hasNotebook() && !looksOnly })
    // A window that does not read must not fill our memory: what it misses, the next one tells.
    if (text === last || response.writableNeedDrain) return
    last = text
    response.write(`data: ${text}\n\n`)
  }
  const leave = room.follow(tell)
  if (leave === undefined) return refuse(response, 503, 'Too many windows.')
  response.writeHead(200, {
    'Content-Type': 'text/event-stream',
    'Cache-Control': 'no-store',
    'X-Accel-Buffering': 'no',
  })
  streams.add(response)
  tell()
  const heartbeat = setInterval(() => {
    if (!response.writableNeedDrain) response.write(':\n\n')
    tell()
  }, heartbeatMs)
  response.once('close', () => {
    clearInterval(heartbeat)
    streams.delete(response)
    leave()
  })
}

function windowOf(query: URLSearchParams): string {
  const window = query.get('window') ?? ''
  return /^[A-Za-z0-9-]{8,40}$/.test(window) ? window : ''
}
