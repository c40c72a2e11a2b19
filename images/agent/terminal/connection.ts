/**
 * One browser's WebSocket on one terminal. Binary messages are what is typed and what is printed; text messages are
 * JSON. From the browser: {type: 'resize', columns, rows}, {type: 'ack', bytes}, {type: 'close'}.
 * To the browser: {type: 'attached', session, start, isNew}, {type: 'ended', code, signal}.
 */
import type { WebSocket } from 'ws'
import { keepAlive } from '../site/keep-alive.ts'
import type { Session, Viewer } from './session.ts'

export const closeCodes = { replaced: 4000, gone: 4404, tooMany: 4429, failed: 4500 } as const

export interface ConnectionOptions {
  readonly socket: WebSocket
  readonly session: Session
  readonly isNew: boolean
  /** Bytes of this session that the browser has already. */
  readonly offset: number
  readonly onInput: () => void
  readonly pingEveryMs?: number
}

export function connect(options: ConnectionOptions): void {
  const { socket, session, isNew, offset, onInput, pingEveryMs = 30_000 } = options
  const tell = (message: object): void => socket.send(JSON.stringify(message))
  const viewer: Viewer = {
    output: (data) => socket.send(data, { binary: true }),
    ended(exit) {
      tell({ type: 'ended', ...exit })
      socket.close(1000)
    },
    replaced: () => socket.close(closeCodes.replaced, 'opened elsewhere'),
  }
  const { start, replay } = session.attach(viewer, offset)
  tell({ type: 'attached', session: session.id, start, isNew })
  if (replay.length > 0) socket.send(replay, { binary: true })

  socket.on('message', (data: Buffer, isBinary) => {
    if (!isBinary) return obey(session, data)
    onInput()
    session.input(data)
    if (session.isCongested()) wait(socket, session)
  })
  const stopPinging = keepAlive(socket, pingEveryMs)
  socket.on('close', () => {
    stopPinging()
    session.detach(viewer)
  })
  // What goes wrong on the wire ends in `close`, which follows.
  socket.on('error', () => undefined)
}

function obey(session: Session, data: Buffer): void {
  const message = parse(data.toString())
  switch (message?.['type']) {
    case 'resize':
      session.resize(Number(message['columns']), Number(message['rows']))
      break
    case 'ack':
      session.acknowledge(Math.max(0, Number(message['bytes']) || 0))
      break
    case 'close':
      session.close()
      break
    case undefined:
    default:
  }
}

/** Something that is pasted into a program that does not read must wait in the browser, not here. */
function wait(socket: WebSocket, session: Session): void {
  socket.pause()
  const timer = setInterval(() => {
    if (session.isCongested() && socket.readyState === socket.OPEN) return
    clearInterval(timer)
    socket.resume()
  }, 50)
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}
