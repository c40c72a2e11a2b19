/** How often one address or one person may try. In memory, bounded, for each hub by itself. */
import { isIPv4, isIPv6 } from 'node:net'
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible'
import { Problem } from '../domain/problem.ts'

export interface Limit {
  /** Counts one try. Throws Problem 'tooManyRequests' with `retryAfter` when there were too many. */
  take(key: string): Promise<void>
  /** Throws likewise, without counting. */
  check(key: string): Promise<void>
}

export interface LimitOptions {
  readonly tries: number
  readonly windowSeconds: number
  /** Most keys at once; beyond, the oldest is forgotten. */
  readonly mostKeys?: number
}

export function createLimit({ tries, windowSeconds, mostKeys = 10_000 }: LimitOptions): Limit {
  const limiter = new RateLimiterMemory({ points: tries, duration: windowSeconds })
  /** The limiter's keys in the order of their first try: it has no bound of its own. */
  const keys = new Set<string>()

  async function remember(key: string): Promise<void> {
    if (!keys.has(key) && keys.size >= mostKeys) {
      const [oldest] = keys
      if (oldest !== undefined) {
        keys.delete(oldest)
        await limiter.delete(oldest)
      }
    }
    keys.add(key)
  }

  return {
    async take(key) {
      await remember(key)
      try {
        await limiter.consume(key)
      } catch (refusal) {
        throw refusal instanceof RateLimiterRes ? tooMany(refusal.msBeforeNext) : refusal
      }
    },
    async check(key) {
      const state = await limiter.get(key)
      if (state && state.consumedPoints >= tries) throw tooMany(state.msBeforeNext)
    },
  }
}

function tooMany(msBeforeNext: number): Problem {
  const seconds = Math.max(1, Math.ceil(msBeforeNext / 1000))
  const wait = seconds > 90 ? `${Math.ceil(seconds / 60)} minutes` : `${seconds} seconds`
  return new Problem('tooManyRequests', `There were too many tries. Wait ${wait}, then try again.`, {
    retryAfter: seconds,
  })
}

/** What counts as one address: an IPv4 address, or an IPv6 network of 64 bits, which one host has to itself. */
export function addressKey(address: string): string {
  const four = address.replace(/^::ffff:/i, '')
  if (isIPv4(four)) return four
  if (!isIPv6(address)) return 'unknown'
  const [head = '', tail] = (address.split('%')[0] ?? '').split('::')
  const first = head === '' ? [] : head.split(':')
  const last = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - first.length - last.length)
  const groups = [...first, ...Array.from({ length: zeros }, () => '0'), ...last].slice(0, 4)
  return `${groups.map((group) => Number.parseInt(group, 16).toString(16)).join(':')}::/64`
}
