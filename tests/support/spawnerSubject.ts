/** What the contract suite's subjects share: a spec and a context without a hub. */
import { createHash } from 'node:crypto'
import type { ContractBehaviour } from '../../spawners/contract.ts'
import { specDigest } from '../../spawners/common/specDigest.ts'
import type { Application, EnvironmentId, EnvironmentSpec, Log, SpawnerContext } from '../../spawners/spawner.ts'

export const silentLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silentLog,
}

/** `part` is what of the context the test cares for. */
export function spawnerContext(part: Partial<SpawnerContext> & { hub: string }): SpawnerContext {
  return {
    name: 'tested',
    stateFolder: '/nonexistent',
    bootstrap: (spec) => ({
      version: 1,
      id: spec.id,
      key: testKey(spec.id),
      report: { host: '127.0.0.1', port: 1 },
      listen: { host: '127.0.0.1' },
      prefix: spec.prefix,
      user: spec.account.name,
      application: {
        kind: spec.application.kind,
        argv: [...spec.application.argv],
        readyPath: spec.application.readyPath,
        landingPath: spec.application.landingPath,
      },
      directories: spec.mounts.map(({ name, target, readOnly }) => ({ name, path: target, readOnly })),
      startTimeoutMs: 60_000,
      stopTimeoutMs: 5_000,
    }),
    secret: (purpose) => createHash('sha256').update(`a test's secret for ${purpose}`).digest(),
    agent: { argv: ['/nonexistent'], folder: '/nonexistent' },
    log: silentLog,
    now: () => new Date(),
    ...part,
  }
}

/** The key of this environment's agent, as a hub would derive it. */
export function testKey(id: string): string {
  return createHash('sha256').update(`a test's key of ${id}`).digest('base64url')
}

export function contractSpec<Profile>(
  hub: string,
  id: EnvironmentId,
  profile: Profile,
  part: Partial<EnvironmentSpec<Profile>> = {},
): EnvironmentSpec<Profile> {
  const spec = {
    id,
    hub,
    owner: 'alice',
    prefix: `/user/alice/${id}/`,
    account: { name: 'alice', uid: 12_001, gid: 12_001, groups: [], home: '/home/alice', shell: '/bin/sh' },
    application: { kind: 'terminal' as const, argv: [], readyPath: '', landingPath: '' },
    resources: { cpu: 1, memoryBytes: 2 ** 30, gpus: 0 },
    variables: {},
    mounts: [],
    profile,
    ...part,
  }
  return { ...spec, digest: specDigest(spec) }
}

/** What the real agent is given to behave so. */
export function agentApplication(behaviour: ContractBehaviour): Application {
  const shell = (line: string): Application => ({
    kind: 'web',
    argv: ['/bin/sh', '-c', line],
    readyPath: '',
    landingPath: '',
  })
  switch (behaviour.does) {
    case 'run':
    case 'refuse':
      return { kind: 'terminal', argv: [], readyPath: '', landingPath: '' }
    case 'print':
      return shell(`yes 0123456789abcde | head -c ${behaviour.bytes}; sleep 1000`)
    case 'end':
      return shell(`exit ${behaviour.exitCode}`)
  }
}
