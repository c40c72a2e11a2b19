/** What somebody's limits are and how much of them is used; and who uses what. For pages and their API. */
import { readEnvironment } from '../domain/environment.ts'
import type { Store } from '../store/index.ts'
import { liveRowsOf } from '../store/environments.ts'
import { type Ask, type Held, judge, usageOf } from './admit.ts'
import { writeLimit, type WrittenLimit } from './document.ts'
import { createEveryone } from './everyone.ts'
import { groundFor, type Kept } from './ground.ts'
import { heldBy } from './held.ts'
import { spentOf } from './ledger.ts'
import { periodStart } from './limit.ts'
import type { Limits } from './limits.ts'
import { type Asker, rulesFor } from './rules.ts'
import { quantity, refusalText, sourceText, titleOf } from './words.ts'

/** One bar. */
interface UsageLine {
  readonly title: string
  /** Whose, and who said so. */
  readonly source: string
  readonly note: string
  readonly used: number
  /** Absent: the catalogue does not have what it follows from. */
  readonly most?: number
  readonly usedText: string
  readonly mostText: string
  /** Titles of one's own that use it. */
  readonly by: readonly string[]
  readonly limit: WrittenLimit
}

/** What one person has now, and took this month. */
interface PersonUse {
  readonly user: string
  readonly environments: number
  readonly cpus: number
  readonly memoryBytes: number
  readonly gpus: number
  readonly cpuHours: number
  readonly gpuHours: number
}

export interface Usage {
  of(asker: Asker): Promise<readonly UsageLine[]>
  /** For each of them why it would be refused now; undefined: it would not. */
  obstacles(asker: Asker, asks: readonly Ask[]): Promise<readonly (string | undefined)[]>
  /** Those that have something or took something this month, the most first. */
  everyone(): Promise<readonly PersonUse[]>
}

const hourMs = 3_600_000
const mostPeople = 500

export function createUsage(options: {
  store: Pick<Store, 'db' | 'type'>
  limits: Pick<Limits, 'fresh'>
  contact: string
  now: () => Date
}): Usage {
  const { store, limits, contact, now } = options
  const { db, type } = store
  const everyone = createEveryone(type)

  async function look(asker: Asker) {
    const at = now().getTime()
    const rules = rulesFor(asker, await limits.fresh(), at)
    const own = (await liveRowsOf(db, asker.user.id)).map((row) => heldBy(readEnvironment(row)))
    const kept: Kept = { spent: new Map() }
    const ground = await groundFor(rules, { db, everyone, userId: asker.user.id, own, kept, now: at })
    return { at, rules, ground }
  }

  return {
    async of(asker) {
      const { at, rules, ground } = await look(asker)
      const counted = rules.filter(({ limit }) => !['lifetimeMs', 'idleMs', 'homeBytes'].includes(limit.resource))
      const fixed = rules.filter((rule) => !counted.includes(rule))
      return [...counted, ...fixed].map((rule): UsageLine => {
        const { limit, most } = rule
        const { used, by } = usageOf(rule, ground, at)
        return {
          title: titleOf(limit),
          source: sourceText(limit),
          note: limit.note,
          used,
          ...(most === undefined ? {} : { most }),
          usedText: quantity(limit.resource, limit.of, used),
          mostText: most === undefined ? 'not known' : quantity(limit.resource, limit.of, most),
          by: by.filter((held) => held.userId === asker.user.id).map(({ title }) => title),
          limit: writeLimit(limit),
        }
      })
    },

    async obstacles(asker, asks) {
      const { at, rules, ground } = await look(asker)
      return asks.map((ask) => {
        const [refusal] = judge(ask, rules, ground, at)
        return refusal && refusalText(refusal, { userId: asker.user.id, fitting: [], contact })
      })
    },

    async everyone() {
      const all = await everyone(db)
      const since = periodStart('month', now().getTime())
      const spent = await db
        .selectFrom('ledger')
        .select('name')
        .where('kind', '=', 'user')
        .where('charged_at', '>=', since)
        .groupBy('name')
        .limit(mostPeople)
        .execute()
      const ids = [...new Set([...all.map((held) => held.userId), ...spent.map(({ name }) => name)])].slice(
        0,
        mostPeople,
      )
      if (ids.length === 0) return []
      const users = await db.selectFrom('users').select(['id', 'name']).where('id', 'in', ids).execute()
      const people = await Promise.all(
        users.map(async ({ id, name }) => {
          const { cpuMs, gpuMs } = await spentOf(db, { kind: 'user', name: id }, since)
          const gpuSum = Object.values(gpuMs).reduce((sum, ms) => sum + ms, 0)
          return personUse(
            name,
            all.filter((held) => held.userId === id),
            cpuMs / hourMs,
            gpuSum / hourMs,
          )
        }),
      )
      return people.toSorted((a, b) => b.cpus - a.cpus || b.cpuHours - a.cpuHours || (a.user < b.user ? -1 : 1))
    },
  }
}

function personUse(user: string, held: readonly Held[], cpuHours: number, gpuHours: number): PersonUse {
  const sum = (count: (each: Held) => number): number => held.reduce((total, each) => total + count(each), 0)
  return {
    user,
    environments: held.length,
    cpus: sum((each) => each.cpu),
    memoryBytes: sum((each) => each.memoryBytes),
    gpus: sum((each) => each.gpus),
    cpuHours,
    gpuHours,
  }
}
