import { execFileSync } from 'node:child_process'
import test from 'ava'
import * as fc from 'fast-check'
import { shareOf } from '../../spawners/docker/claims.ts'
import { configSchema, profileSchema, type DockerConfig } from '../../spawners/docker/config.ts'
import { pullProgress } from '../../spawners/docker/pull.ts'
import { readContainer, timeOf, type State } from '../../spawners/docker/read.ts'
import { registryLogin, registryOf } from '../../spawners/docker/registries.ts'
import { renderContainer } from '../../spawners/docker/render.ts'
import { firstFile, tarOf } from '../../spawners/docker/tar.ts'
import { asRefusal, pullInWords } from '../../spawners/docker/words.ts'
import { LaunchRefused, type EnvironmentId, type EnvironmentSpec, type Observation } from '../../spawners/spawner.ts'
import { contractSpec } from '../support/spawnerSubject.ts'

const config = configSchema.parse({ agent: { from: 'folder', path: '/agent' }, hostRoots: ['/home', '/data'] })
const place = { network: 'n', agent: { type: 'bind', source: '/agent' }, files: '/f', gpus: [], port: 7443 } as const
const home = {
  name: 'home',
  source: { kind: 'host', path: '/home/alice' },
  target: '/home/alice',
  readOnly: false,
} as const
type Part = Partial<EnvironmentSpec<ReturnType<typeof profileSchema.parse>>>
const spec = (part: Part = {}) =>
  contractSpec('h', 'e1' as EnvironmentId, profileSchema.parse({}), { image: 'lab:1', mounts: [home], ...part })

test('a container is its user, with nothing that it does not need', (t) => {
  const { account } = spec()
  const groups = [
    { name: 'own', gid: account.gid },
    { name: 'p42', gid: 30_042 },
  ]
  const made = renderContainer(spec({ account: { ...account, groups } }), config, place)
  t.is(made.User, '12001:12001')
  t.deepEqual(made.HostConfig?.GroupAdd, ['30042'])
  t.like(made.HostConfig, {
    CapDrop: ['ALL'],
    SecurityOpt: ['no-new-privileges'],
    Privileged: false,
    ReadonlyRootfs: true,
    Memory: 2 ** 30,
    MemorySwap: 2 ** 30,
    NanoCpus: 1e9,
    PidsLimit: 4096,
    NetworkMode: 'n',
    RestartPolicy: { Name: 'no' },
  })
  t.false('PortBindings' in (made.HostConfig ?? {}))
  t.true(made.HostConfig?.Mounts?.filter(({ Target }) => !Target.startsWith('/home')).every(({ ReadOnly }) => ReadOnly))
  t.notRegex(JSON.stringify(made), /docker\.sock/)
})

test('graphics cards are asked for by their numbers, and by nobody who has none', (t) => {
  const { HostConfig = {}, Labels } = renderContainer(spec(), config, { ...place, gpus: ['1', 'GPU-2'] })
  t.deepEqual(HostConfig.DeviceRequests, [{ Driver: 'nvidia', DeviceIDs: ['1', 'GPU-2'], Capabilities: [['gpu']] }])
  t.is(Labels?.['dev.hutch.gpus'], '1,GPU-2')
  t.false('DeviceRequests' in (renderContainer(spec(), config, place).HostConfig ?? {}))
})

test('what a profile says wins over nothing that says who it is', (t) => {
  const variables = { HOME: '/root', USER: 'root', HUTCH_UMASK: '0000', PATH: '/own' }
  const { Env = [] } = renderContainer(spec({ variables }), config, place)
  for (const line of ['HOME=/home/alice', 'USER=alice', 'HUTCH_UMASK=0027', 'PATH=/own'])
    t.true(Env.includes(line), line)
})

const nfs = {
  name: 'raw',
  source: { kind: 'nfs', server: 'nas', path: '/x' },
  target: '/data/x',
  readOnly: true,
} as const

test('an NFS export is mounted by Docker, read-only where it is', (t) => {
  const { HostConfig } = renderContainer(spec({ mounts: [home, nfs] }), config, place)
  const mount = HostConfig?.Mounts?.find(({ Target }) => Target === '/data/x')
  t.is(mount?.VolumeOptions?.DriverConfig?.Options['o'], 'addr=nas,nfsvers=4,ro')
  t.is(mount?.VolumeOptions?.DriverConfig?.Options['device'], ':/x')
})

test('an export with Kerberos, and the tickets for it: the account’s folder, and nothing of others', (t) => {
  const kerberos = { ...config, ticketFolder: '/run/tickets' }
  const mounts = [home, { ...nfs, security: 'krb5' as const }]
  const { HostConfig, Env } = renderContainer(spec({ mounts, tickets: true }), kerberos, place)
  const at = (target: string) => HostConfig?.Mounts?.find(({ Target }) => Target === target)
  t.is(at('/data/x')?.VolumeOptions?.DriverConfig?.Options['o'], 'addr=nas,nfsvers=4,ro,sec=krb5')
  t.is(at('/run/hutch/tickets')?.Source, '/run/tickets/12001')
  t.true(Env?.includes('KRB5CCNAME=FILE:/run/hutch/tickets/krb5cc_e1'))
  const plain = renderContainer(spec(), kerberos, place)
  t.notRegex(JSON.stringify(plain), /tickets|KRB5/)
  const elsewhere = { agent: { from: 'folder', path: '/a' }, endpoint: 'tcp://n:1', ticketFolder: '/t' }
  t.regex(configSchema.safeParse(elsewhere).error?.message ?? '', /ticketFolder/)
})

for (const [what, part, says] of [
  ['no image', { image: undefined as never }, /names no image/],
  ['a wrong name of an image', { image: 'Not An Image' }, /name of the image is wrong/],
  ['an option for an image', { image: '--privileged' }, /name of the image is wrong/],
  [
    'a directory beyond the roots',
    { mounts: [home, { ...nfs, source: { kind: 'host', path: '/etc/x' } }] },
    /hostRoots/,
  ],
  ['no home', { mounts: [] }, /home directory/],
  ['root', { account: { ...spec().account, uid: 0 } }, /superuser/],
  ['no agent', { protocol: 'jupyterhub' }, /not encrypted/],
] as const) {
  test(`refused: ${what}`, (t) => {
    t.throws(() => renderContainer(spec(part), config, place), { instanceOf: LaunchRefused, message: says })
  })
}

test('tcp:// without certificates is no configuration', (t) => {
  const { error } = configSchema.safeParse({ agent: { from: 'folder', path: '/agent' }, endpoint: 'tcp://node:2376' })
  t.regex(error?.message ?? '', /tls/)
})

const state: State = {
  status: 'running',
  startedAt: new Date('2026-01-01T00:00:00Z'),
  finishedAt: undefined,
  exitCode: 0,
  outOfMemory: false,
  error: '',
}
const observed = (part: Partial<State>, labels = {}): Observation =>
  readContainer({ labels, addresses: ['10.1.0.2'], state: { ...state, ...part } }, undefined)

for (const [what, part, phase, reason] of [
  ['made', { status: 'created', startedAt: undefined }, 'pending', 'starting'],
  ['made and not to be started', { status: 'created', error: 'exec: no' }, 'ended', 'launchRefused'],
  ['running', {}, 'running', undefined],
  ['ended', { status: 'exited' }, 'ended', 'completed'],
  ['ended with 3', { status: 'exited', exitCode: 3 }, 'ended', 'failed'],
  ['out of memory', { status: 'exited', exitCode: 137, outOfMemory: true }, 'ended', 'outOfMemory'],
  ['a child was out of memory, and it ended well', { status: 'exited', outOfMemory: true }, 'ended', 'completed'],
  ['being removed', { status: 'removing' }, 'stopping', undefined],
  ['of a later Docker', { status: 'dreaming' }, 'unknown', undefined],
] as const) {
  test(`a container that is ${what}`, (t) => {
    const seen = observed(part)
    t.is(seen.phase, phase)
    t.is('reason' in seen ? seen.reason : 'stage' in seen ? seen.stage : undefined, reason)
  })
}

test('the end is the walltime after the start, unless it was moved', (t) => {
  const labels = { 'dev.hutch.walltime-ms': '60000' }
  t.like(observed({}, labels), { endsAt: new Date('2026-01-01T00:01:00Z') })
  const endsAt = new Date('2026-01-02T00:00:00Z')
  t.like(readContainer({ labels, addresses: ['a'], state, endsAt }, undefined), { endsAt })
  t.is(timeOf('0001-01-01T00:00:00Z'), undefined)
})

test('a published port is reached at its machine', (t) => {
  t.like(readContainer({ labels: {}, addresses: ['10.1.0.2'], state }, 'node1'), { hosts: ['node1'] })
})

test('a pull says how many layers and bytes are there', (t) => {
  const progress = pullProgress('lab:1')
  t.is(progress.message(), 'The image lab:1 is being fetched')
  const [a, b] = ['aaaaaaaaaaaa', 'bbbbbbbbbbbb']
  for (const line of [
    { status: 'Pulling from lab', id: 'latest' },
    { status: 'Pulling fs layer', id: a },
    { status: 'Already exists', id: b },
    { status: 'Downloading', id: a, progressDetail: { current: 25e6, total: 100e6 } },
  ])
    progress.take(line)
  t.is(progress.message(), 'The image lab:1 is being fetched: 1 of 2 layers, 25 of 100 MB')
  progress.take({ status: 'Download complete', id: a })
  progress.take({ status: 'Extracting', id: a, progressDetail: { current: 1, total: 100e6 } })
  t.is(progress.message(), 'The image lab:1 is being fetched: 1 of 2 layers, 100 of 100 MB')
  progress.take({ status: 'Pull complete', id: a })
  t.regex(progress.message(), /2 of 2 layers/)
  t.throws(() => progress.take({ error: 'no space left on device' }), { message: /no space/ })
})

for (const [text, says] of [
  ['manifest for x:1 not found: manifest unknown', /There is no image x:1/],
  ['pull access denied for x, repository does not exist', /There is no image x:1/],
  ['write /var/lib/docker/tmp: no space left on device', /disk of the machine that runs Docker is full/],
  ['Get "https://r/v2/": dial tcp: lookup r: no such host', /can't be fetched: .*no such host/],
] as const) {
  test(`in words: ${text}`, (t) => t.regex(pullInWords('x:1', text), says))
}

test('errors of Docker are refusals only when trying again can not help', (t) => {
  const refused = (statusCode: number, message: string) =>
    asRefusal({ statusCode, json: { message } }, { image: 'x:1' })
  const rows = [
    [400, 'invalid mount config for type "bind": bind source path does not exist: /data/42', /\/data\/42 is not on/],
    [404, 'No such image: x:1', /x:1 is not on the machine/],
    [500, 'mkdir /var/lib/docker/overlay2/x: no space left on device', /full/],
    [500, 'could not select device driver "nvidia" with capabilities: [[gpu]]', /can't give/],
    [500, 'OCI runtime create failed: runc did not terminate', /can't be started/],
  ] as const
  for (const [status, message, says] of rows) {
    const error = refused(status, message)
    t.true(error instanceof LaunchRefused, message)
    t.regex((error as Error).message, says)
  }
  const [busy, silent] = [refused(500, 'context deadline exceeded'), new Error('ECONNREFUSED')]
  t.false(busy instanceof LaunchRefused)
  t.is(asRefusal(silent), silent)
})

const gpus: DockerConfig['gpus'] = [{ id: '0', type: 'a100' }, { id: '1', type: 'a100' }, { id: '2' }]

test('a GPU is one environment’s at a time; what has ended holds none', (t) => {
  const wanted = { cpu: 1, memoryBytes: 1, gpus: 2, gpuType: 'a100' }
  const other = (ids: string, status = 'running') => ({ status, labels: { 'dev.hutch.gpus': ids } })
  t.deepEqual(shareOf({ ...config, gpus }, wanted, [other('0')]).gpus, ['1', '2'])
  t.deepEqual(shareOf({ ...config, gpus }, wanted, [other('0,1', 'exited')]).gpus, ['0', '1'])
  t.throws(() => shareOf({ ...config, gpus }, wanted, [other('0'), other('2', 'created')]), { message: /are in use/ })
  t.throws(() => shareOf({ ...config, gpus }, { ...wanted, gpus: 4 }, []), { message: /has 3 GPUs .*another size/ })
  const published = { ...config, publish: { host: 'node', ports: [2_000, 2_001] as [number, number] } }
  const none = { ...wanted, gpus: 0 }
  const port = (number: number) => ({ status: 'running', labels: { 'dev.hutch.port': String(number) } })
  t.is(shareOf(published, none, [port(2_000)]).port, 2_001)
  t.throws(() => shareOf(published, none, [port(2_000), port(2_001)]), { message: /in use/ })
})

test('what is packed is what GNU tar unpacks, and what is read back', (t) => {
  const archive = tarOf([{ name: 'passwd', text: 'é\n', mode: 0o440, uid: 4_000_000_000, gid: 12 }])
  t.regex(
    execFileSync('tar', ['--numeric-owner', '-tvf', '-'], { input: archive, encoding: 'utf8' }),
    /^-r--r----- 4000000000\/12 +3 .* passwd\n$/,
  )
  fc.assert(
    fc.property(fc.string({ maxLength: 2_000 }), (text) => {
      t.is(firstFile(tarOf([{ name: 'a', text, mode: 0o400, uid: 1, gid: 1 }])), Buffer.from(text).toString())
    }),
  )
  t.is(firstFile(Buffer.alloc(1_024)), undefined)
  fc.assert(fc.property(fc.uint8Array({ maxLength: 2_000 }), (bytes) => void firstFile(Buffer.from(bytes))))
})

for (const [image, registry] of [
  ['lab', 'docker.io'],
  ['library/lab:1', 'docker.io'],
  ['registry.example.org/lab', 'registry.example.org'],
  ['registry:5000/a/b@sha256:0', 'registry:5000'],
  ['localhost/lab', 'localhost'],
] as const) {
  test(`the login for ${image} is the one for ${registry}`, (t) => t.is(registryOf(image), registry))
}

test('a password that can not be read is told, and no login is made up', async (t) => {
  const registries = { r: { username: 'hutch', passwordFile: '/nowhere/password' } }
  t.is(await registryLogin({ registries }, 'other/lab'), undefined)
  const { message } = await t.throwsAsync(registryLogin({ registries: { 'r:1': registries.r } }, 'r:1/lab'), {
    instanceOf: LaunchRefused,
  })
  t.regex(message, /registry r:1 can't be read.*registries\.passwordFile/)
})
