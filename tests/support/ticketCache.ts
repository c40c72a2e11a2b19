/** Kerberos credential caches in bytes, format 4, with tickets that are good for nothing. */

interface Ticket {
  readonly server: readonly string[]
  readonly realm?: string
  /** s since the epoch. */
  readonly endsAt: number
}

export function cacheOf(client: string | readonly string[], tickets: readonly Ticket[]): Buffer {
  const owner = principal(typeof client === 'string' ? [client] : client, 'EXAMPLE.ORG')
  const header = Buffer.from([5, 4, 0, 12, 0, 1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0])
  const credentials = tickets.map(({ server, realm = 'EXAMPLE.ORG', endsAt }) =>
    Buffer.concat([
      owner,
      principal(server, realm),
      Buffer.from([0, 18]),
      counted(Buffer.alloc(32, 7)),
      ...[1, 1, endsAt, 0].map(long),
      Buffer.from([0, 0, 0, 0, 0]),
      long(1),
      Buffer.from([0, 2]),
      counted(Buffer.from([127, 0, 0, 1])),
      long(0),
      counted(Buffer.alloc(100, 9)),
      counted(Buffer.alloc(0)),
    ]),
  )
  return Buffer.concat([header, owner, ...credentials])
}

function principal(components: readonly string[], realm: string): Buffer {
  return Buffer.concat([long(1), long(components.length), counted(realm), ...components.map(counted)])
}

function counted(bytes: string | Buffer): Buffer {
  const buffer = Buffer.from(bytes as string)
  return Buffer.concat([long(buffer.length), buffer])
}

function long(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
