/** Connections of one target. They belong to one generation of one route, never to an address: ports are reused. */
import type { OnReadOpts, Socket } from 'node:net'
import { createBag } from '../bag.ts'
import { watchUpstream, type Upstream, type UpstreamOptions, type UpstreamUser } from './upstream.ts'

export interface Pool {
  /** Calls `user.connected()` now or later; or `user.closed()` when it can't be had. */
  acquire(user: UpstreamUser, options: { fresh: boolean }): Waiting
  /** Back for the next request. */
  release(upstream: Upstream): void
  /** It serves one tunnel from now on, and no longer counts here. */
  detach(upstream: Upstream): void
  /** The target is gone: idle connections close now, busy ones after their request. */
  retire(): void
  readonly idle: number
  readonly busy: number
}

/** What a user got: the connection once there is one, and a way to give up before. */
export interface Waiting {
  upstream: Upstream | undefined
  cancel(): void
}

export interface PoolOptions extends Omit<UpstreamOptions, 'left'> {
  /** Throws when it can't even begin. */
  connect(onread: OnReadOpts): Socket
  readonly mostBusy: number
  readonly mostIdle: number
  readonly mostWaiting: number
}

export class PoolFull extends Error {
  override readonly name = 'PoolFull'
  readonly code = 'EPOOLFULL'
}

interface Place extends Waiting {
  readonly user: UpstreamUser
}

export function createPool(options: PoolOptions): Pool {
  const idle: Upstream[] = []
  const busy = createBag<Upstream>()
  const waiting: Place[] = []
  let retired = false

  return {
    acquire(user, { fresh }) {
      const place: Place = {
        user,
        upstream: undefined,
        cancel() {
          const at = waiting.indexOf(place)
          if (at !== -1) waiting.splice(at, 1)
        },
      }
      const kept = fresh ? undefined : idle.pop()
      if (kept !== undefined) give(place, kept)
      else if (busy.size < options.mostBusy) open(place)
      else if (waiting.length < options.mostWaiting) waiting.push(place)
      else user.closed(new PoolFull('too many requests at once for this target'))
      return place
    },
    release(upstream) {
      busy.delete(upstream)
      upstream.user = undefined
      upstream.reused = true
      if (upstream.closed) return next()
      upstream.socket.resume()
      if (retired || upstream.keepAliveMs <= 0) upstream.socket.destroy()
      else if (waiting.length > 0) {
        const place = waiting.shift()
        if (place !== undefined) give(place, upstream)
        return undefined
      } else if (idle.length >= options.mostIdle) upstream.socket.destroy()
      else {
        upstream.deadlineAt = options.deadlines.nowMs + upstream.keepAliveMs
        idle.push(upstream)
      }
      return undefined
    },
    detach(upstream) {
      busy.delete(upstream)
      next()
    },
    retire() {
      retired = true
      for (const upstream of idle.splice(0)) upstream.socket.destroy()
    },
    get idle() {
      return idle.length
    },
    get busy() {
      return busy.size
    },
  }

  function give(place: Place, upstream: Upstream): void {
    busy.add(upstream)
    upstream.user = place.user
    upstream.deadlineAt = 0
    place.upstream = upstream
    place.user.connected()
  }

  function open(place: Place): void {
    const inlet = options.inlets.open({ records: options.readyEvent === 'secureConnect' })
    let socket: Socket
    try {
      socket = options.connect(inlet.onread)
    } catch (error) {
      place.user.closed(error instanceof Error ? error : new Error(String(error)))
      return
    }
    const upstream = watchUpstream(socket, inlet, { ...options, left })
    busy.add(upstream)
    upstream.user = place.user
    place.upstream = upstream
  }

  function left(upstream: Upstream): void {
    const at = idle.indexOf(upstream)
    if (at !== -1) idle.splice(at, 1)
    if (busy.delete(upstream)) next()
  }

  function next(): void {
    if (waiting.length === 0 || busy.size >= options.mostBusy) return
    const place = waiting.shift()
    if (place !== undefined) open(place)
  }
}
