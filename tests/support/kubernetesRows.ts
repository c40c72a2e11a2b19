/** A room on a real cluster for one row: a hub of its own, what it makes is taken away whatever happens. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { environmentId } from '../../spawners/common/environmentId.ts'
import { profileSchema, type KubernetesProfile } from '../../spawners/kubernetes/profile.ts'
import {
  LaunchRefused,
  type EnvironmentId,
  type EnvironmentSpec,
  type Found,
  type Observation,
  type Spawner,
} from '../../spawners/spawner.ts'
import type { Asked } from './kubernetesFaults.ts'
import type { KubernetesSite } from './kubernetesSubject.ts'
import { until } from './until.ts'

export interface RowSite {
  readonly site: KubernetesSite
  /** The kubeconfig of an account that may make namespaces of its own, and the hub that they are for. */
  readonly many: Readonly<{ kubeconfig: string; hub: string }>
}

export interface Room extends RowSite {
  readonly hub: string
  readonly spawner: Spawner<KubernetesProfile>
  /** Another hub process, or one after a restart. */
  open(config?: object): Promise<Spawner<KubernetesProfile>>
  /** It waits for a node that never comes, unless it `runs`. */
  spec(part?: { runs?: boolean } & Partial<EnvironmentSpec<KubernetesProfile>>): EnvironmentSpec<KubernetesProfile>
  observe(spawner?: Spawner): Promise<ReadonlyMap<EnvironmentId, Found>>
  sees<P extends Observation['phase']>(id: EnvironmentId, phase: P): Promise<Extract<Observation, { phase: P }>>
}

export interface Row {
  readonly title: string
  /** What it does to the API server would disturb others. */
  readonly alone?: true
  readonly config?: (site: RowSite) => object
  readonly run: (room: Room) => Promise<void>
}

const newId = environmentId(randomBytes)
const aNode = { nodeSelector: { 'hutch.dev/nowhere': 'never' } }
export const deadline = (): AbortSignal => AbortSignal.timeout(60_000)
export const patience = { timeoutMs: 60_000, everyMs: 50 }
export const ofPods = ({ path }: Asked): boolean => path.endsWith('/pods')
export const isPodPost = (asked: Asked): boolean => asked.method === 'POST' && ofPods(asked)

/** Refused for good in these words; without them: to be tried again. */
export async function rejects(doing: Promise<unknown>, refused?: RegExp): Promise<void> {
  await assert.rejects(doing, (error: unknown) => {
    assert.equal(error instanceof LaunchRefused, refused !== undefined, String(error))
    if (refused) assert.match(String(error), refused)
    return true
  })
}

/** In a room of its own, which is emptied afterwards whatever happened. */
export async function runRow(row: Row, rowSite: RowSite): Promise<void> {
  const { site, many } = rowSite
  const own = row.config?.(rowSite) ?? {}
  const hub = 'kubeconfig' in own ? many.hub : newId()
  const opened: Spawner<KubernetesProfile>[] = []
  const made: EnvironmentId[] = []
  const open = async (more: object = {}): Promise<Spawner<KubernetesProfile>> => {
    const spawner = await site.spawner(hub, { ...own, ...more })
    opened.push(spawner)
    return spawner
  }
  const spawner = await open()
  const room: Room = {
    ...rowSite,
    hub,
    spawner,
    open,
    spec({ runs = false, ...part } = {}) {
      const application = { kind: 'terminal', argv: [], readyPath: '', landingPath: '' } as const
      const spec = site.spec(hub, newId(), application, part)
      made.push(spec.id)
      return runs ? spec : { ...spec, profile: profileSchema.parse({ ...spec.profile, ...aNode }) }
    },
    observe: async (by = spawner) => await by.observe(deadline()),
    async sees(id, phase) {
      return await until(
        `${id} is ${phase}`,
        async () => {
          const observation = (await spawner.observe(deadline())).get(id)?.observation
          return observation?.phase === phase
            ? (observation as Extract<Observation, { phase: typeof phase }>)
            : undefined
        },
        patience,
      )
    },
  }
  try {
    await row.run(room)
  } finally {
    if (row.alone) site.faults.heal()
    try {
      const last = await open({})
      for (const id of made) await last.remove(id, deadline())
    } finally {
      // One that was left would follow the cluster for ever, and the test would never end.
      for (const each of opened) await each.close?.()
    }
  }
}
