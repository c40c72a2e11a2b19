/** A fake LDAP server: only for answers that no real one gives. */
import { createServer, type Socket } from 'node:net'
import type { ExecutionContext } from 'ava'

/** ldap://127.0.0.1:PORT, closed when the test ends. `met`: how many came. */
export async function fakeDirectory(
  t: ExecutionContext,
  answer: (socket: Socket, question: Buffer) => void,
): Promise<{ readonly url: string; met(): number }> {
  const sockets = new Set<Socket>()
  let met = 0
  const server = createServer((socket) => {
    met += 1
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('data', (question) => answer(socket, question))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('it has no port')
  return { url: `ldap://127.0.0.1:${address.port}`, met: () => met }
}

/** DER: a tag, the length and what is in it. */
export function ber(tag: number, ...parts: readonly (Buffer | string | number)[]): Buffer {
  const content = Buffer.concat(
    parts.map((part) => (typeof part === 'number' ? Buffer.from([part]) : Buffer.from(part))),
  )
  const long = content.length > 127
  const length = long ? [0x84, ...lengthBytes(content.length)] : [content.length]
  return Buffer.concat([Buffer.from([tag, ...length]), content])
}

function lengthBytes(length: number): readonly number[] {
  return [24, 16, 8, 0].map((shift) => (length >> shift) & 0xff)
}

/** Success, as an answer of this kind: 0x61 to a bind, 0x65 to a search, 0x78 to an extended request. */
export function success(messageId: number, kind: number): Buffer {
  return ber(0x30, ber(0x02, messageId), ber(kind, ber(0x0a, 0), ber(0x04, ''), ber(0x04, '')))
}

/** One entry of a search. */
export function entry(messageId: number, dn: string, attributes: Readonly<Record<string, string>>): Buffer {
  const list = Object.entries(attributes).map(([name, value]) =>
    ber(0x30, ber(0x04, name), ber(0x31, ber(0x04, value))),
  )
  return ber(0x30, ber(0x02, messageId), ber(0x64, ber(0x04, dn), ber(0x30, ...list)))
}
