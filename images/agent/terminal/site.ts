/** What browsers find below {prefix}_hutch/: the terminal with its WebSocket, and notices for every page inside. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { WebSocketServer } from 'ws'
import { refuse, responseOn } from '../forward.ts'
import type { Notices } from '../notices.ts'
import type { Asset, Assets } from './assets.ts'
import { closeCodes, connect } from './connection.ts'
import type { Sessions } from './sessions.ts'

export interface TerminalSite {
  /** `path` is what follows {prefix}_hutch/, without the query. */
  request(path: string, incoming: IncomingMessage, response: ServerResponse): Promise<void>
  upgrade(path: string, incoming: IncomingMessage, socket: Duplex, head: Buffer): Promise<void>
  close(): void
}

export interface TerminalSiteOptions {
  readonly sessions: Sessions
  readonly assets: Assets
  readonly user: string
  readonly onInput: () => void
  /** `loginEndsAt`: as the proxy says, ms since the epoch. */
  readonly notices: (loginEndsAt: number | undefined) => Notices
  /** Somebody said that it is still wanted. */
  readonly onStay: () => void
}

/** xterm.js makes style elements of its own; scripts come from here and from nowhere else. */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'self'",
].join('; ')

const largestMessageBytes = 1024 * 1024

export function createTerminalSite(options: TerminalSiteOptions): TerminalSite {
  const { sessions, assets, user, onInput } = options
  let server: WebSocketServer | undefined

  return {
    async request(path, incoming, response) {
      if (path === 'stay') return stay(incoming, response, options.onStay)
      if (incoming.method !== 'GET' && incoming.method !== 'HEAD') {
        return refuse(response, 405, 'Only GET and HEAD here.', { Allow: 'GET, HEAD' })
      }
      if (path === 'terminal') return redirect(response, 'terminal/')
      if (path === 'terminal/sessions') return sendList(sessions, response)
      if (path === 'notices') return sendJson(options.notices(loginEndOf(incoming)), response)
      const asset = path === 'terminal/' ? await assets.page(user) : await assets.find(path.replace(/^static\//, ''))
      if (!asset || (path !== 'terminal/' && !path.startsWith('static/'))) return refuse(response, 404, 'Not found.')
      sendAsset(asset, incoming, response)
    },
    async upgrade(path, incoming, socket, head) {
      if (path !== 'terminal/ws') return refuse(responseOn(incoming, socket), 404, 'Not found.')
      if (!isSameOrigin(incoming)) return refuse(responseOn(incoming, socket), 403, 'This page is from elsewhere.')
      socket.on('error', () => socket.destroy())
      const { WebSocketServer } = await import('ws')
      if (socket.destroyed) return
      server ??= new WebSocketServer({
        noServer: true,
        maxPayload: largestMessageBytes,
        perMessageDeflate: false,
        clientTracking: true,
      })
      server.handleUpgrade(incoming, socket, head, (opened) => {
        void open(opened, new URL(incoming.url ?? '/', 'http://localhost').searchParams, sessions, onInput)
      })
    },
    close() {
      for (const socket of server?.clients ?? []) socket.close(1001, 'the environment is being stopped')
    },
  }
}

async function open(
  socket: Parameters<typeof connect>[0]['socket'],
  query: URLSearchParams,
  sessions: Sessions,
  onInput: () => void,
): Promise<void> {
  // Without a listener an error of a socket would be everybody's.
  socket.on('error', () => undefined)
  const size = { columns: whole(query.get('columns'), 80), rows: whole(query.get('rows'), 24) }
  const wanted = query.get('session')
  try {
    const session = wanted === null ? await sessions.open(size) : sessions.find(wanted)
    if (socket.readyState !== socket.OPEN) return
    if (!session) {
      const code = wanted === null ? closeCodes.tooMany : closeCodes.gone
      return socket.close(code, wanted === null ? 'too many terminals' : 'this terminal has ended')
    }
    if (wanted !== null) session.resize(size.columns, size.rows)
    connect({ socket, session, isNew: wanted === null, offset: whole(query.get('offset'), 0), onInput })
  } catch {
    socket.close(closeCodes.failed, 'no shell could be started')
  }
}

function sendList(sessions: Sessions, response: ServerResponse): void {
  const list = sessions.list().map((each) => ({
    id: each.id,
    title: each.title(),
    isWatched: each.isWatched,
    startedAt: each.startedAt.toISOString(),
  }))
  sendJson(list, response)
}

function sendJson(value: object, response: ServerResponse): void {
  response.writeHead(200, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' })
  response.end(JSON.stringify(value))
}

/** One click to stay. What another site's page sends counts for nothing; nor does it for who may only look. */
function stay(incoming: IncomingMessage, response: ServerResponse, onStay: () => void): void {
  if (incoming.method !== 'POST') return refuse(response, 405, 'Only POST here.', { Allow: 'POST' })
  if (!isSameOrigin(incoming)) return refuse(response, 403, 'This page is from elsewhere.')
  if (incoming.headers['x-hutch-role'] === 'viewer') return refuse(response, 403, 'You may only look here.')
  onStay()
  response.writeHead(204).end()
}

/** When the login of who asks ends, as the proxy says, which lets no browser say it. */
function loginEndOf({ headers }: IncomingMessage): number | undefined {
  const text = headers['x-hutch-until']
  return typeof text === 'string' && /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

function sendAsset(asset: Asset, incoming: IncomingMessage, response: ServerResponse): void {
  const headers = {
    'Content-Type': asset.type,
    'Content-Encoding': 'gzip',
    'Cache-Control': 'no-cache',
    ETag: asset.tag,
    'Content-Security-Policy': contentSecurityPolicy,
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'same-origin',
  }
  if (incoming.headers['if-none-match'] === asset.tag) {
    response.writeHead(304, headers)
    response.end()
    return
  }
  response.writeHead(200, { ...headers, 'Content-Length': asset.body.length })
  response.end(incoming.method === 'HEAD' ? undefined : asset.body)
}

function redirect(response: ServerResponse, location: string): void {
  response.writeHead(302, { Location: location, 'Content-Length': 0 })
  response.end()
}

/** The proxy asks this too; what types into a shell is worth asking twice. A caller without Origin is no browser. */
function isSameOrigin({ headers }: IncomingMessage): boolean {
  if (headers.origin === undefined) return true
  return URL.canParse(headers.origin) && new URL(headers.origin).host === headers.host
}

function whole(text: string | null, otherwise: number): number {
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : otherwise
}
