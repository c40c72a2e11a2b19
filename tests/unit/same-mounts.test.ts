/** One choice gives the same paths, and the same of them to write, whatever it runs on: what was restored too. */
import test from 'ava'
import * as fc from 'fast-check'
import { configurationSchema } from '../../config/schema.ts'
import type { Dataset, Proposal } from '../../hub/domain/services.ts'
import { deriveMounts } from '../../hub/launch/mounts.ts'
import { configSchema as dockerConfig, profileSchema as dockerProfile } from '../../spawners/docker/config.ts'
import { renderContainer } from '../../spawners/docker/render.ts'
import { configSchema as kubernetesConfig } from '../../spawners/kubernetes/config.ts'
import { profileSchema as kubernetesProfile } from '../../spawners/kubernetes/profile.ts'
import { renderPod } from '../../spawners/kubernetes/render.ts'
import { sandboxArguments } from '../../spawners/local/render.ts'
import { configSchema as slurmConfig, profileSchema as slurmProfile } from '../../spawners/slurm/config.ts'
import { createNames } from '../../spawners/slurm/names.ts'
import { submissionOf } from '../../spawners/slurm/submission.ts'
import type { Account, EnvironmentId, Mount } from '../../spawners/spawner.ts'
import { contractSpec } from '../support/spawnerSubject.ts'

const account: Account = { name: 'ada', uid: 12_001, gid: 12_001, groups: [], home: '/home/ada', shell: '/bin/sh' }
const id = 'e1' as EnvironmentId

function specOf<Profile>(mounts: readonly Mount[], profile: Profile, part: object = {}) {
  return contractSpec('h', id, profile, { account, mounts, image: 'lab:1', ...part })
}

type Seen = Readonly<Record<string, 'read' | 'write'>>

const seen = (all: readonly (readonly [target: string, readOnly: boolean])[]): Seen =>
  Object.fromEntries(all.map(([target, readOnly]) => [target, readOnly ? 'read' : 'write']))

const backends: Readonly<Record<string, (mounts: readonly Mount[]) => Seen>> = {
  local(mounts) {
    const argv = sandboxArguments({
      root: true,
      layout: { folders: [], links: [] },
      account,
      mounts: mounts.map(({ source, target, readOnly }) => ({ source: source.path, target, readOnly })),
      readOnlyPaths: [],
      agentFolder: '/opt/agent',
      programs: [],
      runFolder: '/state/e1',
      hidden: [],
      cgroups: [],
      temporaryBytes: 1_000,
    })
    return seen(
      argv.flatMap((word, index) => {
        const [source = '', target = ''] = argv.slice(index + 1)
        return ['--bind', '--ro-bind'].includes(word) && source.startsWith('/srv/')
          ? [[target, word === '--ro-bind'] as const]
          : []
      }),
    )
  },
  docker(mounts) {
    const config = dockerConfig.parse({ agent: { from: 'folder', path: '/agent' }, hostRoots: ['/srv'] })
    const place = {
      network: 'n',
      agent: { type: 'bind', source: '/agent' },
      files: '/f',
      gpus: [],
      port: 7443,
    } as const
    const made = renderContainer(specOf(mounts, dockerProfile.parse({})), config, place).HostConfig?.Mounts ?? []
    return seen(
      made.flatMap(({ Source, Target, ReadOnly }) =>
        Source.startsWith('/srv/') ? [[Target, ReadOnly === true] as const] : [],
      ),
    )
  },
  kubernetes(mounts) {
    const config = kubernetesConfig.parse({ agent: { from: 'node', path: '/opt/hutch' }, hostPathRoots: ['/srv'] })
    const pod = renderPod(specOf(mounts, kubernetesProfile.parse({})), {
      ...config,
      supplementalGroupsPolicy: 'Strict',
    })
    const [main] = pod.spec?.containers ?? []
    return seen(
      (main?.volumeMounts ?? []).flatMap(({ name, mountPath, readOnly }) =>
        name.startsWith('mount-') ? [[mountPath, readOnly === true] as const] : [],
      ),
    )
  },
  slurm(mounts) {
    const container = { type: 'bubblewrap', image: '/images/lab' }
    const { image: _none, ...withoutImage } = specOf(mounts, slurmProfile.parse({ container }))
    const { script } = submissionOf({
      spec: withoutImage,
      config: slurmConfig.parse({
        endpoint: 'http://127.0.0.1:6820',
        tokens: '/run/minter/s',
        observer: 'hutch',
        agentFolder: '/shared/agent',
      }),
      names: createNames('h', Buffer.alloc(32, 1)),
      claim: '{}',
      hasOpenScripts: false,
    })
    const binds = script.matchAll(/^hutch\+=\((--bind|--ro-bind) '\/srv\/[^']*' '([^']*)'\)$/gm)
    return seen([...binds].map(([, option, target = '']) => [target, option === '--ro-bind'] as const))
  },
}

const rule = (name: string, readOnly: boolean, more: object = {}) => ({
  name,
  source: `/srv/data/{proposal}/${name}`,
  target: `/data/{proposal}/${name}`,
  allowedRoots: ['/srv/data'],
  readOnly,
  ...more,
})
const { mounts: rules, archive } = configurationSchema.pick({ mounts: true, archive: true }).parse({
  mounts: [
    rule('raw', true),
    rule('processed', false),
    rule('scans', true, { for: 'dataset', source: '{folder}', target: '/data/{proposal}/scans/{dataset}' }),
    rule('software', true, { for: 'user', source: '/srv/data/software', target: '/software' }),
  ],
  archive: { roots: ['/srv/restored'] },
})

const chosen = fc.record({
  proposals: fc.uniqueArray(fc.stringMatching(/^[a-z0-9]{1,8}$/), { minLength: 1, maxLength: 4 }),
  online: fc.nat(3),
  restored: fc.nat(3),
  vouched: fc.boolean(),
})

test('law: whatever is chosen, every backend shows the same directories, and lets the same be written', (t) => {
  fc.assert(
    fc.property(chosen, ({ proposals: ids, online, restored, vouched }) => {
      const proposals: Proposal[] = ids.map((each) => ({ id: each, title: each, instrument: 'LOQ', fields: {} }))
      const dataset = (name: string): Dataset => ({
        id: name,
        proposal: ids[0] ?? '',
        name,
        folder: `/srv/data/${ids[0]}/raw/${name}`,
      })
      const names = (what: string, count: number) => Array.from({ length: count }, (_, index) => `${what}${index}`)
      const tapes = names('tape', restored)
      const mounts = deriveMounts({
        rules,
        account,
        homeSource: '/srv/homes/ada',
        proposals,
        datasets: [...names('scan', online), ...tapes].map(dataset),
        restored: new Map(
          tapes.map((tape) => [
            tape,
            { source: { kind: 'host', path: `/srv/restored/x/${tape}` }, root: '/srv/restored', vouched },
          ]),
        ),
        archive,
        stateFolder: '/var/lib/hutch',
      }).map(({ mount }) => mount)
      const wanted = seen(mounts.map(({ target, readOnly }) => [target, readOnly] as const))
      t.is(wanted['/home/ada'], 'write')
      for (const [name, shows] of Object.entries(backends)) t.deepEqual(shows(mounts), wanted, name)
    }),
    { numRuns: 30 },
  )
})
