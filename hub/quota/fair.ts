/**
 * A fair order for those who wait until a backend that is full has room again, and who may start now. Pure.
 *
 * Who used least lately comes first. One who waits moves up all the time: after a day nobody who comes later is put
 * before them, however much they used. What is first is never passed over by something smaller, so that it starts when
 * enough has ended; nothing starts beyond the capacity.
 */

export interface Size {
  /** Cores. */
  readonly cpu: number
  readonly memoryBytes: number
}

export interface Waiting extends Size {
  readonly id: string
  readonly userId: string
  /** ms since the epoch. */
  readonly since: number
  /** How long it will live at most; undefined: nobody knows. */
  readonly walltimeMs: number | undefined
}

/** What has its place. */
export interface Placed extends Size {
  readonly userId: string
  /** Since when it has it, ms since the epoch. */
  readonly since: number
  /** undefined: nobody knows. */
  readonly endsAt: number | undefined
}

const hourMs = 3_600_000
/** What was used earlier than that counts no more. */
export const rememberedMs = 7 * 86_400_000
/** Who waits this long has made up for having had the whole backend for all that is remembered. */
const forgivenAfterMs = 86_400_000
/** What starts now counts as this much, for who has several that wait. */
const leastHours = 1

export interface Use {
  /** Core hours of what has ended, within what is remembered. */
  readonly spent: (userId: string) => number
  readonly placed: readonly Placed[]
  readonly capacity: Size
  /** ms since the epoch. */
  readonly now: number
}

/** The first one first. */
export function fairOrder(waiting: readonly Waiting[], { spent, placed, capacity, now }: Use): readonly Waiting[] {
  const charges = new Map<string, number>()
  const add = (userId: string, hours: number): void => {
    charges.set(userId, (charges.get(userId) ?? spent(userId)) + hours)
  }
  for (const { userId, cpu, since } of placed) add(userId, cpu * Math.max(leastHours, (now - since) / hourMs))
  const queues = new Map<string, Waiting[]>()
  for (const each of waiting.toSorted((a, b) => a.since - b.since || (a.id < b.id ? -1 : 1))) {
    const own = queues.get(each.userId)
    if (own === undefined) queues.set(each.userId, [each])
    else own.push(each)
  }
  const forgivenPerMs = (capacity.cpu * (rememberedMs / hourMs)) / forgivenAfterMs
  const rankOf = ({ userId, since }: Waiting): number =>
    (charges.get(userId) ?? spent(userId)) - Math.max(0, now - since) * forgivenPerMs
  const order: Waiting[] = []
  while (queues.size > 0) {
    let best: { rank: number; first: Waiting } | undefined
    for (const [first] of queues.values()) {
      if (first === undefined) continue
      const rank = rankOf(first)
      if (best === undefined || rank < best.rank || (rank === best.rank && isEarlier(first, best.first))) {
        best = { rank, first }
      }
    }
    if (best === undefined) break
    const { first } = best
    order.push(first)
    add(first.userId, first.cpu * leastHours)
    const rest = queues.get(first.userId)?.slice(1) ?? []
    if (rest.length === 0) queues.delete(first.userId)
    else queues.set(first.userId, rest)
  }
  return order
}

function isEarlier(a: Waiting, b: Waiting): boolean {
  return a.since < b.since || (a.since === b.since && a.id < b.id)
}

/** Those at the head for whom there is room. */
export function startable(order: readonly Waiting[], placed: readonly Size[], capacity: Size): readonly Waiting[] {
  const taken = { ...sumOf(placed) }
  const fits = order.findIndex((each) => {
    taken.cpu += each.cpu
    taken.memoryBytes += each.memoryBytes
    return !isWithin(taken, capacity)
  })
  return fits === -1 ? order : order.slice(0, fits)
}

/** When each has its place at the latest, as things are now; ms since the epoch. Absent: nobody knows. */
export function estimates(
  order: readonly Waiting[],
  placed: readonly Placed[],
  capacity: Size,
  now: number,
): ReadonlyMap<string, number> {
  const known = new Map<string, number>()
  const taken = { ...sumOf(placed) }
  const ends = placed.map(({ cpu, memoryBytes, endsAt = Infinity }) => ({ cpu, memoryBytes, at: endsAt }))
  let at = now
  for (const each of order) {
    ends.sort((a, b) => a.at - b.at)
    while (!isWithin({ cpu: taken.cpu + each.cpu, memoryBytes: taken.memoryBytes + each.memoryBytes }, capacity)) {
      const next = ends.shift()
      if (next === undefined || next.at === Infinity) return known
      at = Math.max(at, next.at)
      taken.cpu -= next.cpu
      taken.memoryBytes -= next.memoryBytes
    }
    known.set(each.id, at)
    taken.cpu += each.cpu
    taken.memoryBytes += each.memoryBytes
    ends.push({ cpu: each.cpu, memoryBytes: each.memoryBytes, at: at + (each.walltimeMs ?? Infinity) })
  }
  return known
}

export function isWithin(taken: Size, capacity: Size): boolean {
  return taken.cpu <= capacity.cpu * (1 + rounding) && taken.memoryBytes <= capacity.memoryBytes
}

/** Sums of fractions of cores. */
const rounding = 1e-9

export function sumOf(sizes: readonly Size[]): Size {
  return {
    cpu: sizes.reduce((sum, { cpu }) => sum + cpu, 0),
    memoryBytes: sizes.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0),
  }
}
