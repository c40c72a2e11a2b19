/** Who asks, by what the proxy says of them; no browser can say it (proxy/forward/fields.ts). */
import type { IncomingMessage } from 'node:http'

export interface Visitor {
  /** Undefined: nobody said. */
  readonly name: string | undefined
  readonly looksOnly: boolean
  /** Nobody else: not a guest, nor staff. */
  readonly isOwner: boolean
}

const longestName = 64

export function visitorOf({ headers }: Pick<IncomingMessage, 'headers'>): Visitor {
  const name = headers['x-hutch-user']
  return {
    name: typeof name === 'string' ? decoded(name).slice(0, longestName) : undefined,
    looksOnly: headers['x-hutch-role'] === 'viewer',
    isOwner: ['owner', undefined].includes(headers['x-hutch-role'] as string | undefined),
  }
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name)
  } catch {
    return name
  }
}
