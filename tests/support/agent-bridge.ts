/** A plain port that leads to an agent, in the proxy's place: browsers and libraries can't speak TLS with a key. */
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { connect as tlsConnect } from 'node:tls'
import type { ExecutionContext } from 'ava'
import { pskClient } from '../../images/agent/link.ts'
import type { Link } from './agent.ts'

export interface Bridge {
  readonly url: string
  /** As when the proxy dies: every connection breaks, and none is taken. */
  breakDown(): Promise<void>
  comeBack(): Promise<void>
}

export async function bridgeTo(t: ExecutionContext, { id, key, port }: Link): Promise<Bridge> {
  const open = new Set<Socket>()
  const create = () =>
    createServer((client) => {
      const far = tlsConnect({ ...pskClient(id, key), host: '127.0.0.1', port })
      for (const [one, other] of [
        [client, far],
        [far, client],
      ] as const) {
        open.add(one)
        one.on('error', () => one.destroy())
        one.once('close', () => {
          open.delete(one)
          other.destroy()
        })
        one.pipe(other)
      }
    })
  let server = create()
  const listen = async (at: number): Promise<number> => {
    server.listen(at, '127.0.0.1')
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  }
  const own = await listen(0)
  const breakDown = async (): Promise<void> => {
    for (const socket of open) socket.destroy()
    if (server.listening) await new Promise((resolve) => server.close(resolve))
  }
  t.teardown(breakDown)
  return {
    url: `http://127.0.0.1:${own}`,
    breakDown,
    async comeBack() {
      server = create()
      await listen(own)
    },
  }
}
