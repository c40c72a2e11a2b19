/** Where the application listens, and what it is told of where it is. Pure. */

export interface Upstream {
  /** For node:http: its unix socket, or a port of loopback. */
  readonly to: Readonly<{ socketPath: string }> | Readonly<{ host: string; port: number }>
  /** The request target that it is asked for. */
  readonly path: (url: string) => string
  /** What else it is told; flat: name, value. */
  readonly told: readonly string[]
  /** Its answer's header fields as browsers must see them; flat, as they come. */
  readonly fields: (rawHeaders: readonly string[]) => string[]
}

export interface UpstreamOptions {
  readonly socket: string
  /** Of no use where it knows its own. */
  readonly prefix?: string
  readonly port?: number
  /** It knows nothing of its prefix: it is asked, and answers, as if it were at /. */
  readonly atRoot?: boolean
}

export function upstreamOf({ socket, prefix = '/', port, atRoot = false }: UpstreamOptions): Upstream {
  const to = port === undefined ? { socketPath: socket } : { host: '127.0.0.1', port }
  if (!atRoot) return { to, path: (url) => url, told: [], fields: (rawHeaders) => [...rawHeaders] }
  return {
    to,
    path: (url) => (url.startsWith(prefix) ? `/${url.slice(prefix.length)}` : url),
    told: ['X-Forwarded-Prefix', prefix.replace(/\/$/, '')],
    fields: (rawHeaders) =>
      rawHeaders.map((value, at) => (at % 2 === 0 ? value : moved(rawHeaders[at - 1] ?? '', value, prefix))),
  }
}

function moved(name: string, value: string, prefix: string): string {
  switch (name.toLowerCase()) {
    case 'location':
    case 'content-location':
      // Two slashes begin another host's address.
      return /^\/(?!\/)/.test(value) ? prefix + value.slice(1) : value
    case 'set-cookie':
      return value.replace(/(;\s*path=)\/([^;]*)/i, (_all, before: string, rest: string) => before + prefix + rest)
    default:
      return value
  }
}
