/** What SLURM's accounting lets somebody have, and what of it is in use. Pure. */
import type { BackendLimit } from '../spawner.ts'
import type { AccountingLimits, Association, Tres, Usage } from './cluster.ts'

/** cpu=2,mem=1500M,node=1,gres/gpu=1 → numbers; memory in megabytes. */
export function readTres(text: string): Tres {
  const found: Record<string, number> = {}
  for (const part of text.split(',')) {
    const [, name, count, unit = ''] = /^([^=]+)=(\d+(?:\.\d+)?)([KMGTP]?)$/.exec(part) ?? []
    if (name !== undefined) found[name] = Number(count) * (megabytes[unit] ?? 1)
  }
  return found
}

const megabytes: Readonly<Record<string, number>> = { K: 1 / 1_024, M: 1, G: 1_024, T: 1_024 ** 2, P: 1_024 ** 3 }

const minuteMs = 60_000

/** `usage`: of what runs now; undefined: nobody has looked yet. */
export function limitsFor(
  user: string,
  { associations, qos }: AccountingLimits,
  usage: readonly Usage[] | undefined,
): readonly BackendLimit[] {
  const own = associations.filter((each) => each.user === user)
  const above = accountsAbove(own, associations)
  const names = new Set([...own, ...above].flatMap((each) => each.qos))
  return [
    ...own.flatMap((each) => {
      const used = usage?.filter((one) => one.user === user && one.account === each.account)
      return ofAssociation(each, `you in the account ${each.account}`, used)
    }),
    ...above.flatMap((each) => {
      const within = accountsBelow(each.account, associations)
      const used = usage?.filter((one) => within.has(one.account))
      return ofAssociation(each, `all of the account ${each.account}`, used)
    }),
    ...qos
      .filter(({ name }) => names.has(name))
      .flatMap((each) => {
        const whose = `you with the quality of service ${each.name}`
        const used = usage?.filter((one) => one.user === user && one.qos === each.name)
        return [
          ...ofTres(each.perUser, whose, used),
          ...ofJobs(each.jobsPerUser, whose, used),
          ...ofTime(each.minutesPerJob, `each job with the quality of service ${each.name}`),
        ]
      }),
  ]
}

function ofAssociation(each: Association, whose: string, used: readonly Usage[] | undefined): readonly BackendLimit[] {
  return [
    ...ofTres(each.total, whose, used),
    ...ofJobs(each.jobs, whose, used),
    ...ofTime(each.minutesPerJob, `each job in the account ${each.account}`),
  ]
}

function ofTres(most: Tres, whose: string, usage: readonly Usage[] | undefined): readonly BackendLimit[] {
  return Object.entries(most).map(([name, count]) => {
    const inBytes = name === 'mem' ? 2 ** 20 : 1
    const used = usage?.reduce((sum, { tres }) => sum + (tres[name] ?? 0), 0)
    return {
      what: things[name] ?? name.replace(/^gres\/gpu:/, 'GPUs of type '),
      whose,
      most: count * inBytes,
      ...(used === undefined ? {} : { used: used * inBytes }),
      ...(name === 'mem' ? { unit: 'bytes' as const } : {}),
    }
  })
}

const things: Readonly<Record<string, string>> = { cpu: 'Cores', mem: 'Memory', node: 'Machines', 'gres/gpu': 'GPUs' }

function ofJobs(most: number | undefined, whose: string, usage: readonly Usage[] | undefined): readonly BackendLimit[] {
  if (most === undefined) return []
  const used = usage?.reduce((sum, { jobs }) => sum + jobs, 0)
  return [{ what: 'Jobs', whose, most, ...(used === undefined ? {} : { used }) }]
}

function ofTime(minutes: number | undefined, whose: string): readonly BackendLimit[] {
  return minutes === undefined ? [] : [{ what: 'Time', whose, most: minutes * minuteMs, unit: 'ms' }]
}

/** The accounts' own associations of these, up to the root. */
function accountsAbove(own: readonly Association[], all: readonly Association[]): readonly Association[] {
  const accounts = new Map(all.filter(({ user }) => user === '').map((each) => [each.account, each]))
  const found = new Map<string, Association>()
  for (const { account } of own) {
    for (let each = accounts.get(account); each !== undefined && !found.has(each.account);) {
      found.set(each.account, each)
      each = accounts.get(each.parent)
    }
  }
  return [...found.values()]
}

function accountsBelow(account: string, all: readonly Association[]): ReadonlySet<string> {
  const found = new Set([account])
  for (let size = 0; size !== found.size;) {
    size = found.size
    for (const each of all) if (each.user === '' && found.has(each.parent)) found.add(each.account)
  }
  return found
}
