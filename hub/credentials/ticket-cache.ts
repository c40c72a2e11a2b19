/**
 * Whose tickets a Kerberos credential cache holds and until when, read from its bytes: a file as MIT Kerberos writes it,
 * format version 4 (krb5's doc/formats/ccache_file_format). Pure; nothing in it is a secret that leaves here.
 */
export interface TicketCacheFacts {
  readonly principal: Readonly<{ components: readonly string[]; realm: string }>
  /** Of the ticket that gets the others; without one, of the first that ends. */
  readonly endsAt: Date
}

const longestCacheBytes = 64 * 1_024

/** @throws Error, in one sentence, when it is none. */
export function readTicketCache(bytes: Uint8Array): TicketCacheFacts {
  if (bytes.byteLength > longestCacheBytes) throw new Error(`a ticket cache has at most ${longestCacheBytes} bytes`)
  const reader = readerOf(Buffer.from(bytes))
  if (reader.short() !== 0x0504) throw new Error('it is no ticket cache of version 4, as a file of MIT Kerberos is')
  reader.skip(reader.short())
  const principal = reader.principal()
  const ends: number[] = []
  let granting: number | undefined
  while (!reader.isOver()) {
    const { server, endsAt } = readCredential(reader)
    // Not a ticket, but a note of the library's to itself.
    if (server.realm === 'X-CACHECONF:') continue
    ends.push(endsAt)
    if (server.components[0] === 'krbtgt') granting = Math.max(granting ?? 0, endsAt)
  }
  const end = granting ?? Math.min(...ends)
  if (!Number.isFinite(end)) throw new Error('the ticket cache holds no ticket')
  return { principal, endsAt: new Date(end * 1_000) }
}

type Reader = ReturnType<typeof readerOf>

function readCredential(reader: Reader): { server: TicketCacheFacts['principal']; endsAt: number } {
  reader.principal()
  const server = reader.principal()
  // The session key: its kind and its bytes.
  reader.short()
  reader.counted()
  // When it was asked for and when it begins.
  reader.skip(8)
  const endsAt = reader.long()
  // Until when it may be renewed, whether it is for two users, its flags.
  reader.skip(9)
  // Addresses, and what it authorises to.
  skipList(reader)
  skipList(reader)
  // The ticket, and a second one.
  reader.counted()
  reader.counted()
  return { server, endsAt }
}

function skipList(reader: Reader): void {
  for (let left = reader.long(); left > 0; left -= 1) {
    reader.short()
    reader.counted()
  }
}

/** Big-endian; each step throws at the end of the bytes, so that no count in them is believed. */
function readerOf(bytes: Buffer) {
  let at = 0
  function take(count: number): Buffer {
    if (at + count > bytes.length) throw new Error('the ticket cache is cut short')
    at += count
    return bytes.subarray(at - count, at)
  }
  const long = (): number => take(4).readUInt32BE()
  const counted = (): Buffer => take(long())
  return {
    isOver: () => at === bytes.length,
    skip: (count: number) => void take(count),
    short: () => take(2).readUInt16BE(),
    long,
    counted,
    principal(): TicketCacheFacts['principal'] {
      // What kind of name it is.
      take(4)
      const count = long()
      const realm = counted().toString()
      const components: string[] = []
      for (let left = count; left > 0; left -= 1) components.push(counted().toString())
      return { components, realm }
    },
  }
}
