/** Who asks, by what the proxy says of them; no browser can say it (proxy/forward/fields.ts). */
import type { IncomingMessage } from 'node:http'

export interface Visitor {
  /** Undefined: nobody said. */
  readonly name: string | undefined
  readonly looksOnly: boolean
  /** Nobody else: not a guest, nor staff. */
  readonly isOwner: boolean
  /** Whether what they do counts as the environment's use: not of who looks on, nor of staff who came to help. */
  readonly isUser: boolean
}

const longestName = 64

export function visitorOf({ headers }: Pick<IncomingMessage, 'headers'>): Visitor {
  const name = headers['x-hutch-user']
  const role = headers['x-hutch-role']
  return {
    name: typeof name === 'string' ? decoded(name).slice(0, longestName) : undefined,
    isOwner: role === 'owner' || role === undefined,
    looksOnly: role === 'viewer',
    isUser: role !== 'viewer' && role !== 'administrator',
  }
}

/** `count`, or for whose doings do not count, nothing. */
export function counting(incoming: Pick<IncomingMessage, 'headers'>, count: () => void): () => void {
  return visitorOf(incoming).isUser ? count : () => undefined
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name)
  } catch {
    return name
  }
}
