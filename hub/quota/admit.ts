/**
 * Whether what is asked for is within the limits, given what is held: a pure function. Who calls it sees to it that
 * nothing comes between looking and holding.
 *
 * Hours belong to the period in which they were admitted: a launch holds its whole walltime at once, whatever is known
 * of it later, until it has ended; then what it really took counts.
 */
import { isHours, type Limit, mostPossible, periodStart } from './limit.ts'
import { type Asker, type Rule, rulesFor, type Scope } from './rules.ts'

/** A part of an environment's time that was admitted at once: the launch's, then one for each extension. */
export interface Slice {
  /** When it was admitted; ms since the epoch. */
  readonly at: number
  readonly ms: number
}

/** What one environment that has not ended holds. */
export interface Held {
  readonly id: string
  readonly title: string
  readonly userId: string
  readonly groups: readonly string[]
  readonly proposals: readonly string[]
  readonly profile: string
  readonly cpu: number
  readonly memoryBytes: number
  readonly gpus: number
  readonly gpuType: string
  /** None: it has no end of its own, and holds no hours. */
  readonly slices: readonly Slice[]
}

/** What environments that ended took. Products of cores (GPUs) and ms. */
export interface Spent {
  readonly cpuMs: number
  /** By type; a GPU without one has the empty name. */
  readonly gpuMs: Readonly<Record<string, number>>
}

/** What is held and was spent, as one moment shows it. */
export interface Ground {
  readonly held: (scope: Scope) => readonly Held[]
  /** Of what was admitted at `since` or later and has ended. */
  readonly spent: (scope: Scope, since: number) => Spent
}

export interface Ask extends Asker {
  readonly profile: string
  readonly cpu: number
  readonly memoryBytes: number
  readonly gpus: number
  readonly gpuType: string
  /** Absent: it would have no end of its own. */
  readonly walltimeMs?: number
  /** It is there already, and only its end is to move, by walltimeMs. */
  readonly extends?: Held
}

export interface Refusal {
  readonly rule: Rule
  readonly used: number
  /** Infinity: hours without an end. */
  readonly wanted: number
  /** What uses it now, the most first; of hours, what is still running. */
  readonly by: readonly Held[]
}

export function admit(ask: Ask, ground: Ground, limits: readonly Limit[], now: number): readonly Refusal[] {
  return judge(ask, rulesFor(ask, limits, now), ground, now)
}

/** Every rule that says no; none: it is admitted. */
export function judge(ask: Ask, rules: readonly Rule[], ground: Ground, now: number): readonly Refusal[] {
  return rules.flatMap((rule): Refusal[] => {
    const wanted = wantedOf(rule.limit, ask)
    if (wanted === 0) return []
    const { used, by } = usageOf(rule, ground, now)
    if (rule.most !== undefined && used + wanted <= rule.most * (1 + rounding)) return []
    return [{ rule, used, wanted, by }]
  })
}

/** Sums of fractions of cores. */
const rounding = 1e-9

/** What counts against a rule now. */
export function usageOf({ limit, scope }: Rule, ground: Ground, now: number): { used: number; by: readonly Held[] } {
  const since = periodStart(limit.period, now)
  const shares = ground.held(scope).map((held) => ({ held, share: shareOf(limit, held, since) }))
  const running = shares.filter(({ share }) => share > 0).toSorted((a, b) => b.share - a.share)
  const held = running.reduce((sum, { share }) => sum + share, 0)
  const ended = isHours(limit.resource) ? spentHours(limit, ground.spent(scope, since)) : 0
  return { used: held + ended, by: running.map((each) => each.held) }
}

const hourMs = 3_600_000

function spentHours({ resource, of }: Limit, { cpuMs, gpuMs }: Spent): number {
  if (resource === 'cpuHours') return cpuMs / hourMs
  const counted = of === '' ? Object.values(gpuMs) : [gpuMs[of] ?? 0]
  return counted.reduce((sum, ms) => sum + ms, 0) / hourMs
}

/** What a new one would add; of an extension only its time. */
function wantedOf(limit: Limit, ask: Ask): number {
  const { walltimeMs = Infinity } = ask
  if (limit.resource === 'lifetimeMs') {
    const before = ask.extends?.slices.reduce((sum, { ms }) => sum + ms, 0) ?? 0
    return Math.min(before + walltimeMs, mostPossible)
  }
  if (ask.extends !== undefined && !isHours(limit.resource)) return 0
  const one = { ...ask, slices: [{ at: 0, ms: walltimeMs }] }
  return shareOf(limit, one, -Infinity)
}

type Holder = Pick<Held, 'cpu' | 'memoryBytes' | 'gpus' | 'gpuType' | 'profile' | 'slices'>

function shareOf({ resource, of }: Limit, held: Holder, since: number): number {
  const gpus = of === '' || of === held.gpuType ? held.gpus : 0
  switch (resource) {
    case 'cpus':
      return held.cpu
    case 'memoryBytes':
      return held.memoryBytes
    case 'gpus':
      return gpus
    case 'environments':
      return of === '' || of === held.profile ? 1 : 0
    case 'cpuHours':
      return hoursOf(held.cpu, held.slices, since)
    case 'gpuHours':
      return hoursOf(gpus, held.slices, since)
    // Of one environment by itself, or of what the hub does not start: nothing that adds up.
    case 'lifetimeMs':
    case 'idleMs':
    case 'homeBytes':
      return 0
  }
}

function hoursOf(count: number, slices: readonly Slice[], since: number): number {
  if (count === 0) return 0
  return slices.reduce((sum, { at, ms }) => (at >= since ? sum + (count * ms) / hourMs : sum), 0)
}
