/** The hub's end of proxy/feed.ts: the table, what was revoked, and who follows and how far. */
import type { HubMessage, Revocation, Route } from '../../proxy/feed.ts'
import type { RouteTable } from '../domain/services.ts'

export interface KeptRouteTable extends RouteTable {
  /** What the store has, at the start and when another hub revoked. Followers hear what is new. */
  load(revocations: readonly Revocation[]): void
  /** Forgets what has expired anyhow. */
  prune(): void
}

export interface RouteTableOptions {
  /** Returns when it is in the store. */
  readonly save: (revocation: Revocation) => Promise<void>
  readonly now: () => Date
}

interface Follower {
  readonly send: (message: HubMessage) => void
  acknowledged: number
}

export function createRouteTable({ save, now }: RouteTableOptions): KeptRouteTable {
  const routes = new Map<string, Route>()
  const revocations = new Map<string, Revocation>()
  const followers = new Set<Follower>()
  const waiting = new Set<() => void>()
  let seq = 0

  function tell(message: HubMessage): void {
    for (const follower of followers) follower.send(message)
  }

  function check(): void {
    for (const look of waiting) look()
  }

  /** False: it says no more than what is known. */
  function remember(revocation: Revocation): boolean {
    const key = `${revocation.kind} ${revocation.subject}`
    const known = revocations.get(key)
    if (known !== undefined && known.at >= revocation.at && known.until >= revocation.until) return false
    const at = Math.max(known?.at ?? 0, revocation.at)
    const until = Math.max(known?.until ?? 0, revocation.until)
    const whole = { ...revocation, at, until }
    revocations.set(key, whole)
    tell({ type: 'revoke', seq: (seq += 1), revocation: whole })
    return true
  }

  return {
    routes: () => [...routes.values()],
    put(route) {
      routes.set(route.id, route)
      tell({ type: 'put', seq: (seq += 1), route })
    },
    delete(id) {
      if (routes.delete(id)) tell({ type: 'delete', seq: (seq += 1), id })
    },
    async revoke(revocation) {
      // The proxies first: what is revoked must close even while the store can't be written.
      remember(revocation)
      await save(revocation)
    },
    load(known) {
      for (const revocation of known) if (revocation.until > now().getTime()) remember(revocation)
    },
    prune() {
      for (const [key, { until }] of revocations) if (until <= now().getTime()) revocations.delete(key)
    },
    settled(signal) {
      const goal = seq
      return new Promise((resolve, reject) => {
        const finish = (): void => {
          waiting.delete(look)
          signal.removeEventListener('abort', abort)
        }
        const abort = (): void => {
          finish()
          reject(signal.reason instanceof Error ? signal.reason : new Error('the wait for the proxies was given up'))
        }
        const look = (): void => {
          if ([...followers].some((follower) => follower.acknowledged < goal)) return
          finish()
          resolve()
        }
        if (signal.aborted) return abort()
        waiting.add(look)
        signal.addEventListener('abort', abort)
        look()
      })
    },
    follow(send) {
      const follower: Follower = { send, acknowledged: -1 }
      followers.add(follower)
      send({ type: 'table', seq, routes: [...routes.values()], revocations: [...revocations.values()] })
      return {
        acknowledge(upTo) {
          follower.acknowledged = Math.max(follower.acknowledged, Math.min(upTo, seq))
          check()
        },
        close() {
          followers.delete(follower)
          check()
        },
      }
    },
  }
}
