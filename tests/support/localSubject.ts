/** The local spawner as a subject of the contract suite: a state folder, a home, a proposal, and the fake agent. */
import { chmod, chown, mkdir, readFile, readdir, realpath, rename, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { ContractBehaviour, ContractSubject } from '../../spawners/contract.ts'
import { configSchema, type LocalConfig, type LocalProfile } from '../../spawners/local/config.ts'
import { createLocal } from '../../spawners/local/create.ts'
import { exploreMachine, type Machine } from '../../spawners/local/machine.ts'
import { environmentId } from '../../spawners/common/environmentId.ts'
import type {
  Application,
  EnvironmentId,
  EnvironmentSpec,
  Log,
  Spawner,
  SpawnerContext,
} from '../../spawners/spawner.ts'
import { randomBytes } from 'node:crypto'
import { until } from './until.ts'
import { contractSpec, silentLog, spawnerContext } from './spawnerSubject.ts'

export interface LocalSite {
  readonly folder: string
  readonly stateFolder: string
  readonly home: string
  readonly proposal: string
  readonly machine: Machine
  readonly context: (hub: string, part?: Partial<SpawnerContext>) => SpawnerContext
  readonly config: (part?: object) => LocalConfig
  readonly spec: (
    argv: readonly string[],
    part?: Partial<EnvironmentSpec<LocalProfile>>,
  ) => EnvironmentSpec<LocalProfile>
  readonly open: (hub?: string, config?: object, log?: Log) => Promise<Spawner<LocalProfile>>
  /** Ends all that is left, and takes away what is outside of `folder`. */
  readonly close: () => Promise<void>
}

export const newId = environmentId(randomBytes)

/** Everything below `folder`, which must be empty. As root, environments are uid 12001; else they are us. */
export async function localSite(
  folder: string,
  machine?: Machine,
  own: object = {},
  part: Partial<SpawnerContext> = {},
): Promise<LocalSite> {
  const found = machine ?? (await exploreMachine())
  const cgroup = `hutch-test-${newId()}`
  const uid = found.root ? 12_001 : found.uid
  const gid = found.root ? 12_001 : found.gid
  const [state, home, proposal] = [join(folder, 'state'), join(folder, 'home'), join(folder, 'proposal')]
  const stateFolder = join(state, 'spawners', 'local')
  await chmod(folder, 0o755)
  await mkdir(stateFolder, { recursive: true, mode: 0o700 })
  for (const path of [home, proposal]) {
    await mkdir(path, { mode: 0o700 })
    if (found.root) await chown(path, uid, gid)
  }
  const agent = {
    argv: [await realpath(process.execPath), join(import.meta.dirname, 'fakeAgent.ts')],
    folder: import.meta.dirname,
  }
  const account = { name: 'alice', uid, gid, groups: [], home: '/home/alice', shell: '/bin/sh' }
  const mounts = [
    { name: 'home', source: { kind: 'host', path: home }, target: '/home/alice', readOnly: false },
    { name: 'proposal 1, raw', source: { kind: 'host', path: proposal }, target: '/data/p1', readOnly: true },
  ] as const
  const context: LocalSite['context'] = (hub, more) => spawnerContext({ hub, stateFolder, agent, ...part, ...more })
  const config: LocalSite['config'] = (part) => configSchema.parse({ stopGrace: '1s', cgroup, ...own, ...part })
  return {
    folder,
    stateFolder,
    home,
    proposal,
    machine: found,
    context,
    config,
    spec: (argv, part) =>
      contractSpec(
        'tested',
        newId(),
        {},
        {
          account,
          mounts,
          application: { kind: 'web', argv, readyPath: '', landingPath: '' },
          resources: { cpu: 1, memoryBytes: 2 ** 29, gpus: 0, processes: 200 },
          ...part,
        },
      ),
    open: (hub = 'tested', part = {}, log = silentLog) => createLocal(config(part), context(hub, { log }), found),
    async close() {
      await removeAll(await createLocal(config(), context('tested'), found))
      for (const name of await readdir('/sys/fs/cgroup')) {
        await rmdir(join('/sys/fs/cgroup', name, cgroup)).catch(() => undefined)
      }
    },
  }
}

async function removeAll(spawner: Spawner<LocalProfile>): Promise<void> {
  const seen = () => spawner.observe(AbortSignal.timeout(10_000))
  for (const id of (await seen()).keys()) await spawner.remove(id, AbortSignal.timeout(10_000))
  await until('all are gone', async () => (await seen()).size === 0, { timeoutMs: 30_000 })
  await spawner.close?.()
}

/** `application` makes each behaviour; absent: as the fake agent understands it. */
export function localSubject(site: LocalSite, application = fakeApplication): ContractSubject<LocalProfile> {
  return {
    spawner: (hub) => site.open(hub),
    spec(hub, id, behaviour) {
      const spec = site.spec([], { hub, id, application: application(behaviour) })
      return behaviour.does === 'refuse' ? { ...spec, account: { ...spec.account, uid: 0 } } : spec
    },
    async cut() {
      // A sandbox that is still being made looks for its files by their path.
      for (const log of await logsOf(site.stateFolder)) {
        await until('what runs has begun', async () => (await readFile(log, 'utf8')) !== '', { timeoutMs: 30_000 })
      }
      await rename(site.stateFolder, `${site.stateFolder}.away`)
      return () => rename(`${site.stateFolder}.away`, site.stateFolder)
    },
    count: countKeepers,
  }
}

async function logsOf(stateFolder: string): Promise<readonly string[]> {
  const entries = await readdir(stateFolder, { recursive: true, withFileTypes: true })
  return entries.filter(({ name }) => name === 'log').map(({ parentPath, name }) => join(parentPath, name))
}

/** Keepers of this environment among all processes of the machine, by their working folder. */
export async function countKeepers(id: EnvironmentId): Promise<number> {
  let count = 0
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    const folder = await realpath(`/proc/${pid}/cwd`).catch(() => '')
    if (command.includes('keeper.sh') && folder.split('/').includes(id) && (await isLeader(pid))) count += 1
  }
  return count
}

/** The keeper's own children look like it until they become what they run. */
async function isLeader(pid: string): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  const [state, , , session] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return session === pid && state !== 'Z'
}

function fakeApplication(behaviour: ContractBehaviour): Application {
  const common = { kind: 'web', readyPath: '', landingPath: '' } as const
  switch (behaviour.does) {
    case 'run':
    case 'refuse':
      return { ...common, argv: ['run'] }
    case 'print':
      return { ...common, argv: ['print', String(behaviour.bytes)] }
    case 'end':
      return { ...common, argv: ['end', String(behaviour.exitCode)] }
  }
}
