import { once } from 'node:events'
import { connect, createServer, type NetConnectOpts, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ExecutionContext } from 'ava'

export interface Gate {
  /** Closes it, until the returned function is called. */
  cut(): Promise<() => Promise<void>>
}

/** A way to a backend, at the unix socket `at`, that can be closed. */
export async function openGate(t: ExecutionContext, to: NetConnectOpts, at: string): Promise<Gate> {
  const sockets = new Set<Socket>()
  let isCut = false
  const server = createServer((socket) => {
    if (isCut) return socket.destroy()
    const other = connect(to)
    for (const [one, another] of [
      [socket, other],
      [other, socket],
    ] as const) {
      sockets.add(one)
      one.on('error', () => another.destroy())
      one.on('close', () => {
        sockets.delete(one)
        another.destroy()
      })
    }
    socket.pipe(other).pipe(socket)
    return undefined
  })
  server.listen({ path: at })
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return {
    cut: async () => {
      isCut = true
      for (const socket of sockets) socket.destroy()
      // A spawner that follows its backend knows of the cut as soon as its connection has ended.
      await sleep(500)
      return async () => {
        isCut = false
      }
    },
  }
}
