/** One connection to where a route leads. Its listeners are attached once; who uses it changes. */
import type { Socket } from 'node:net'
import type { Bagged } from '../bag.ts'
import type { Deadlines, Timed } from '../deadlines.ts'
import type { Inlet, Inlets } from './inlets.ts'

/** Who uses a connection now. */
export interface UpstreamUser {
  connected(): void
  data(chunk: Buffer): void
  drained(): void
  /** It will send no more. */
  ended(): void
  /** It is gone; `cause` is undefined after a plain close. */
  closed(cause: Error | undefined): void
}

export interface Upstream extends Timed, Bagged {
  readonly socket: Socket
  user: UpstreamUser | undefined
  ready: boolean
  closed: boolean
  /** It has carried a request before. */
  reused: boolean
  /** How long it may wait for its next request. */
  keepAliveMs: number
}

export interface UpstreamOptions {
  readonly deadlines: Deadlines
  readonly connectTimeoutMs: number
  readonly keepAliveMs: number
  /** 'secureConnect' for TLS. */
  readonly readyEvent: 'connect' | 'secureConnect'
  left(upstream: Upstream): void
  readonly inlets: Inlets
  readonly bug: Bug
}

/** Told of an error of our own; the connection where it happened is gone then, and all others go on. */
export type Bug = (error: unknown) => void

/** `inlet` is the one that the socket was connected with. */
export function watchUpstream(socket: Socket, inlet: Inlet, options: UpstreamOptions): Upstream {
  const { deadlines } = options
  let cause: Error | undefined
  const upstream: Upstream = {
    slot: -1,
    socket,
    user: undefined,
    ready: false,
    closed: false,
    reused: false,
    keepAliveMs: options.keepAliveMs,
    deadlineAt: performance.now() + options.connectTimeoutMs,
    expired() {
      socket.destroy(new UpstreamTimeout(upstream.ready ? 'no answer in time' : 'no connection in time'))
    },
  }
  deadlines.things.add(upstream)
  // Comes once; but a listener that is taken away leaves its list in a form three times as large.
  socket.on(options.readyEvent, () => {
    upstream.ready = true
    upstream.deadlineAt = 0
    upstream.user?.connected()
  })
  inlet.take = (chunk) => {
    // What comes unasked belongs to nobody.
    if (upstream.user === undefined) socket.destroy()
    else {
      try {
        upstream.user.data(chunk)
      } catch (error) {
        options.bug(error)
        socket.destroy()
      }
    }
  }
  socket.on('drain', () => {
    options.inlets.drained(socket)
    upstream.user?.drained()
  })
  socket.on('end', () => {
    inlet.flush()
    if (upstream.user === undefined) socket.destroy()
    else upstream.user.ended()
  })
  socket.on('error', (error) => (cause = error))
  socket.on('close', () => {
    inlet.flush()
    upstream.closed = true
    deadlines.things.delete(upstream)
    options.left(upstream)
    const { user } = upstream
    upstream.user = undefined
    user?.closed(cause)
  })
  return upstream
}

export class UpstreamTimeout extends Error {
  override readonly name = 'UpstreamTimeout'
  readonly code = 'ETIMEDOUT'
}
