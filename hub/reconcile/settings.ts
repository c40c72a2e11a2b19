/** Every time and limit of the loop, in one place. */
import type { Configuration } from '../../config/schema.ts'
import type { DecideSettings } from '../domain/decide.ts'
import type { Environment } from '../domain/environment.ts'
import { moreMemory } from '../domain/more-memory.ts'
import type { Size } from '../quota/fair.ts'

/** What of the configuration the loop goes by. */
export interface ReconcileSettings {
  /** The hub's own id. */
  readonly hub: string
  /** {user}.envs.example.org; undefined: one single origin. */
  readonly hosts: string | undefined
  readonly startTimeoutMs: (profile: string) => number
  /** What the environments of a spawner may have together, by its name; beyond it they wait. */
  readonly capacities?: ReadonlyMap<string, Size>
  /** What to choose next after an end for want of memory: a sentence, or nothing. */
  readonly moreMemory?: (environment: Environment) => string
  /** Other times than the ordinary ones. */
  readonly times?: Partial<LoopSettings>
}

export function reconcileSettings(
  configuration: Pick<
    Configuration,
    'hub' | 'agents' | 'environments' | 'profiles' | 'spawners' | 'flavours' | 'offers'
  >,
): ReconcileSettings {
  const { hub, agents, environments, profiles, spawners } = configuration
  const silentAfterMs = Math.max(shortestSilenceMs, agents.silentAfter)
  return {
    hub: hub.id,
    hosts: environments.hosts,
    startTimeoutMs: (profile) => profiles[profile]?.startTimeout ?? ordinaryStartTimeoutMs,
    capacities: new Map(
      Object.entries(spawners).flatMap(([name, { capacity }]) =>
        capacity === undefined ? [] : [[name, { cpu: capacity.cpu, memoryBytes: capacity.memory }] as const],
      ),
    ),
    moreMemory: (environment) => moreMemory(configuration, environment),
    times: {
      silentAfterMs,
      unreachableRetryMs: Math.min(defaultSettings.unreachableRetryMs, silentAfterMs),
    },
  }
}

const shortestSilenceMs = 1_000

/** For what runs on although its profile was taken out of the configuration. */
const ordinaryStartTimeoutMs = 300_000

/** `visibilityLagMs` and `canExtend` are the spawner's. */
export interface LoopSettings extends Omit<DecideSettings, 'visibilityLagMs' | 'canExtend'> {
  /** As in ReconcileSettings. */
  readonly moreMemory: (environment: Environment) => string
  /** Most actions (and, apart from them, most probes) of one spawner at once. */
  readonly mostAtOnce: number
  readonly observeTimeoutMs: number
  readonly logsTimeoutMs: number
  readonly probeTimeoutMs: number
  /** Between observations while things change; doubled while nothing does, up to the longest. */
  readonly shortestObserveMs: number
  readonly longestObserveMs: number
  /** An agent that was not heard for this long is asked. */
  readonly silentAfterMs: number
  /** An agent that did not answer is asked again after this. */
  readonly unreachableRetryMs: number
  readonly leaseMs: number
  /** How long what is under way may take when the hub stops. */
  readonly closeMs: number
  /** How long a report waits for the backend to show the host that it came from. */
  readonly reportWaitMs: number
  /** How long a claim waits for a look that is begun now. Agents ask again. */
  readonly claimWaitMs: number
}

export const defaultSettings: Omit<LoopSettings, 'startTimeoutMs'> = {
  moreMemory: () => '',
  actionTimeoutMs: 30_000,
  firstRetryMs: 1_000,
  lastRetryMs: 60_000,
  launchPatienceMs: 3_600_000,
  removeAgainMs: 60_000,
  graceMs: 30_000,
  mostAtOnce: 64,
  observeTimeoutMs: 20_000,
  logsTimeoutMs: 5_000,
  probeTimeoutMs: 5_000,
  shortestObserveMs: 500,
  longestObserveMs: 15_000,
  silentAfterMs: 180_000,
  unreachableRetryMs: 15_000,
  leaseMs: 15_000,
  closeMs: 5_000,
  reportWaitMs: 5_000,
  claimWaitMs: 15_000,
}
