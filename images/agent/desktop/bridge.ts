/**
 * One viewer's WebSocket on one connection of its own to Xvnc's socket. Xvnc paces each connection by itself; here
 * nothing waits in memory beyond the marks: who does not read, is not read for.
 */
import { createConnection, type Socket } from 'node:net'
import type { WebSocket } from 'ws'
import { keepAlive } from '../site/keep-alive.ts'
import { clientMessages } from './rfb/client-messages.ts'
import { createCutter, RfbError } from './rfb/cutter.ts'
import { serverMessages } from './rfb/server-messages.ts'

/** Told to the page, which knows what to say (assets/desktop.js). */
export const closeCodes = { tooMany: 4429, notRfb: 4400, away: 4502 } as const

export interface BridgeOptions {
  readonly socket: WebSocket
  /** Where Xvnc listens. */
  readonly socketPath: string
  readonly looksOnly: boolean
  readonly onInput: () => void
  readonly say: (line: string) => void
  readonly pingEveryMs?: number
}

const pauseAtBytes = 1024 * 1024
const resumeAtBytes = 128 * 1024

export function bridge({ socket, socketPath, looksOnly, onInput, say, pingEveryMs = 30_000 }: BridgeOptions): void {
  const server = createConnection(socketPath)
  const fromClient = createCutter(clientMessages({ looksOnly, onInput }))
  const fromServer = looksOnly ? createCutter(serverMessages()) : (chunk: Buffer) => [chunk]
  const stopPinging = keepAlive(socket, pingEveryMs)

  const end = (code: number, reason: string): void => {
    server.destroy()
    socket.close(code, reason)
  }
  const guarded = (take: () => void): void => {
    try {
      take()
    } catch (error) {
      if (!(error instanceof RfbError)) throw error
      say(`a connection to the desktop was cut: ${error.message}`)
      end(closeCodes.notRfb, 'this is not understood')
    }
  }

  server.on('data', (chunk: Buffer) => {
    guarded(() => send(socket, server, fromServer(chunk)))
  })
  server.on('error', () => end(closeCodes.away, 'the desktop does not answer'))
  server.on('close', () => socket.close(closeCodes.away, 'the desktop has ended'))

  socket.on('message', (data: Buffer, isBinary) => {
    if (server.destroyed) return
    if (!isBinary) return end(closeCodes.notRfb, 'this is not understood')
    guarded(() => forward(socket, server, fromClient(data)))
  })
  socket.on('close', () => {
    stopPinging()
    server.destroy()
  })
  // What goes wrong on the wire ends in `close`, which follows.
  socket.on('error', () => undefined)
}

/** Until the browser has taken enough of it, nothing more is read from Xvnc, which then sends newer pictures instead. */
function send(socket: WebSocket, server: Socket, pieces: readonly Buffer[]): void {
  if (pieces.length === 0 || socket.readyState !== socket.OPEN) return
  const data = pieces.length === 1 ? (pieces[0] ?? Buffer.alloc(0)) : Buffer.concat(pieces)
  socket.send(data, { binary: true }, () => {
    if (server.isPaused() && socket.bufferedAmount < resumeAtBytes) server.resume()
  })
  if (socket.bufferedAmount > pauseAtBytes) server.pause()
}

function forward(socket: WebSocket, server: Socket, pieces: readonly Buffer[]): void {
  if (pieces.length === 0) return
  if (server.write(pieces.length === 1 ? (pieces[0] ?? '') : Buffer.concat(pieces)) || socket.isPaused) return
  socket.pause()
  server.once('drain', () => socket.resume())
}
