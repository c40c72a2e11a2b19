/** The terminal's place in the site: its page, its list and its WebSocket. Who may only look finds nothing here. */
import type { WebSocketServer } from 'ws'
import { refuse, responseOn } from '../forward.ts'
import { isSameOrigin, sendAsset, sendJson, whole } from '../site/answers.ts'
import type { Assets } from '../site/assets.ts'
import type { Place } from '../site/index.ts'
import { counting, visitorOf } from '../site/visitor.ts'
import { closeCodes, connect } from './connection.ts'
import type { Sessions } from './sessions.ts'

export interface TerminalOptions {
  readonly sessions: Sessions
  readonly assets: Assets
  readonly user: string
  readonly onInput: () => void
}

const largestMessageBytes = 1024 * 1024

export function createTerminal({ sessions, assets, user, onInput }: TerminalOptions): Place {
  let server: WebSocketServer | undefined

  return {
    async request(path, incoming, response) {
      if (visitorOf(incoming).looksOnly) return refuse(response, 403, 'You may only look here.')
      if (incoming.method !== 'GET' && incoming.method !== 'HEAD') {
        return refuse(response, 405, 'Only GET and HEAD here.', { Allow: 'GET, HEAD' })
      }
      if (path === 'sessions') return sendJson(response, 200, listOf(sessions))
      const page = path === '' ? await assets.page('terminal.html', user) : undefined
      if (!page) return refuse(response, 404, 'Not found.')
      sendAsset(page, incoming, response)
    },
    async upgrade(path, incoming, socket, head) {
      if (visitorOf(incoming).looksOnly) return refuse(responseOn(incoming, socket), 403, 'You may only look here.')
      if (path !== 'ws') return refuse(responseOn(incoming, socket), 404, 'Not found.')
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
        const { searchParams } = new URL(incoming.url ?? '/', 'http://localhost')
        void open(opened, searchParams, sessions, counting(incoming, onInput))
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

function listOf(sessions: Sessions): object[] {
  return sessions.list().map((each) => ({
    id: each.id,
    title: each.title(),
    isWatched: each.isWatched,
    startedAt: each.startedAt.toISOString(),
  }))
}
