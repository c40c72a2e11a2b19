/** The main job on a real Docker, from images of every kind; what goes wrong there; what nobody gets out of. */
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { profileSchema } from '../../spawners/docker/config.ts'
import { browser } from '../support/browser.ts'
import { closedLaptop } from '../support/closedLaptop.ts'
import { registryAccount, startRegistry } from '../support/docker-registry.ts'
import { startDocker, type TestDocker } from '../support/docker.ts'
import { escapeProgram } from '../support/dockerEscapes.ts'
import { people, startDockerHub, tiny, type DockerHub } from '../support/dockerHub.ts'
import { openKernel, type RemoteKernel } from '../support/kernel.ts'
import { isOver, logInAs, type Launched, type Scientist } from '../support/scientist.ts'
import { runsAsUser } from '../support/runsAsUser.ts'
import { openShell, typeInto } from '../support/shell.ts'
import { until } from '../support/until.ts'

test('notebooks, terminals and any image as containers of their users; faults in words; nobody gets out', async (t) => {
  t.timeout(40 * 60_000, 'the first run builds the images')
  const opened = await browser(t)
  const docker = opened && (await startDocker(t, { images: ['notebook'], liveRestore: true }))
  if (opened === undefined || docker === undefined) return
  const hub = await startDockerHub(t, docker)
  const me = await logIn(hub, 'ada')
  const other = await logIn(hub, 'rosalind')
  await anyImage(t, me, other)
  await anyName(t, hub)
  const neighbour = await other.launch({ profile: 'terminal', flavour: 'tight' })
  const launched = await me.launch({ profile: 'lab', flavour: 'small', proposals: ['42'] })
  await me.enter(launched)
  const kernel = await openKernel(me, launched)
  // One that was left would try to connect for ever, and the test would never end.
  t.teardown(() => kernel.dispose())
  await theUsersOwn(t, hub, kernel)
  t.regex(await kernel.run(asksBySsh), /Connection refused/, 'ssh knows who it is')
  await personalEnvironment(t, kernel)
  await closedLaptop(t, { opened, hutch: hub.hutch(), id: launched.id, kernel })
  await until('the neighbour is there', async () => (await other.state(neighbour.id)) === 'ready', patience)
  await escapes(t, hub, kernel, neighbour.id)
  await inWords(t, hub, me)
  await restarts(t, { hub, docker, me, kernel, launched })
  for (const [who, { id }] of [
    [me, launched],
    [other, neighbour],
  ] as const) {
    await who.api('POST', `/environments/${id}/stop`)
    await isOver(who, { id })
  }
  await until(
    'nothing is left',
    async () => {
      const left = ['ps --all', 'volume ls'].map((what) =>
        docker.docker(...what.split(' '), '--quiet', '--filter', ours),
      )
      return (await Promise.all(left)).join('') === ''
    },
    patience,
  )
})

const ours = 'label=dev.hutch.environment'
const patience = { timeoutMs: 120_000 }

async function logIn(hub: DockerHub, name: string): Promise<Scientist> {
  const hutch = hub.hutch()
  return await logInAs(hutch.url, name, (await hutch.passwords())[name] ?? '')
}

/** One without a C library, which starts a web server by itself; terminals in it as two people. */
async function anyImage(t: ExecutionContext, me: Scientist, other: Scientist): Promise<void> {
  const web = await me.launch({ profile: 'web', flavour: 'tight' })
  const page = await me.enter(web)
  t.regex(page.text, /served by an image that knows of nothing/)
  for (const [who, name] of [
    [me, 'ada'],
    [other, 'rosalind'],
  ] as const) {
    const launched = await who.launch({ profile: 'terminal', flavour: 'tight' })
    await who.enter(launched)
    const shell = await openShell(who, launched)
    const seen = await typeInto(shell, 'echo "is $(whoami) $USER $(id -u) $HOME"', /^is .*\d/m)
    t.regex(seen, new RegExp(`^is ${name} ${name} ${people[name].uid} /srv/\\S+/homes/${name}`, 'm'))
    shell.socket.terminate()
    await who.api('POST', `/environments/${launched.id}/stop`)
  }
  await me.api('POST', `/environments/${web.id}/stop`)
}

/** A name of 32 characters with a dot, for a uid that the image calls otherwise. */
async function anyName(t: ExecutionContext, { site }: DockerHub): Promise<void> {
  const spawner = await site.spawner('names')
  t.teardown(() => spawner.close?.())
  const name = 'rosalind.franklin_0123456789abcd'
  const argv = ['/bin/sh', '-c', 'echo "is $(id) $(whoami) $HOME"; sleep 100']
  const application = { kind: 'web', argv, readyPath: '', landingPath: '' } as const
  const { account } = site.spec('names', 'names', application)
  const path = join(site.folder, 'homes/ada')
  const mounts = [{ name: 'home', source: { kind: 'host' as const, path }, target: '/home/alice', readOnly: false }]
  const long = { ...account, name, uid: people.ada.uid, home: '/home/alice', shell: '/bin/sh' }
  const spec = site.spec('names', 'names', application, { image: tiny, account: long, mounts })
  const signal = AbortSignal.timeout(60_000)
  await spawner.ensure(spec, signal)
  const told = await until(
    'it says who it is',
    async () => /^is .*/m.exec((await spawner.logs?.(spec.id, signal)) ?? ''),
    patience,
  )
  t.is(told[0], `is uid=${long.uid}(${name}) gid=${long.gid}(${name}) groups=${long.gid}(${name}) ${name} /home/alice`)
  await spawner.remove(spec.id, signal)
  await until('it is gone', async () => (await spawner.observe(signal)).size === 0, patience)
}

async function theUsersOwn(t: ExecutionContext, hub: DockerHub, kernel: RemoteKernel): Promise<void> {
  const { uid, groups } = people.ada
  const [{ gid }] = groups
  const commit =
    'cd && git init -q x && git -C x -c user.email=a@b -c user.name=$(whoami) commit -q --allow-empty -m x && git -C x log --format=%an'
  await runsAsUser(t, kernel, {
    uid,
    gid,
    data: hub.data,
    more: {
      getent: [`sh('getent passwd ada')`, `ada:x:${uid}:${uid}::${hub.site.folder}/homes/ada:/bin/sh`],
      git: [`sh('${commit}')`, 'ada'],
    },
  })
}

/** It refuses whoever has no entry in passwd before it connects anywhere. */
const asksBySsh = `
import subprocess
print(subprocess.run(['ssh', '-p', '9', '127.0.0.1'], capture_output=True, text=True).stderr)`

/** Own software without root: it is a kernel, stays in the home, and changes nothing of the image. */
const ownSoftware = `
import json, os, subprocess, zipfile
home = os.environ['HOME']
wheel = home + '/mine-1.0-py3-none-any.whl'
meta = 'mine-1.0.dist-info/'
with zipfile.ZipFile(wheel, 'w') as z:
  z.writestr('mine.py', 'answer = 42')
  z.writestr(meta + 'METADATA', 'Metadata-Version: 2.1\\nName: mine\\nVersion: 1.0\\n')
  z.writestr(meta + 'WHEEL', 'Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
  z.writestr(meta + 'RECORD', '')
def run(*argv): return subprocess.run(argv, check=True, capture_output=True, text=True).stdout
run('personal-environment', 'mine')
own = home + '/.local/share/personal-environments/mine/bin/'
run(own + 'pip', 'install', '--no-index', '--disable-pip-version-check', wheel)
kernels = json.loads(run('jupyter', 'kernelspec', 'list', '--json'))['kernelspecs']
print(json.dumps({
  'kernel': kernels['mine']['spec']['argv'][0] == own + 'python',
  'own': run(own + 'python', '-c', 'import mine, numpy; print(mine.answer)').strip(),
  'image': subprocess.run(['python', '-c', 'import mine'], capture_output=True).returncode,
}))`

async function personalEnvironment(t: ExecutionContext, kernel: RemoteKernel): Promise<void> {
  t.deepEqual(JSON.parse(await kernel.run(ownSoftware)), { kernel: true, own: '42', image: 1 })
}

async function escapes(t: ExecutionContext, hub: DockerHub, kernel: RemoteKernel, neighbour: string): Promise<void> {
  const { docker, folder } = hub.site
  const served = createServer((socket) => socket.destroy())
  t.teardown(() => served.close())
  served.listen(0, '0.0.0.0')
  await once(served, 'listening')
  const format = '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.Gateway}}{{end}}'
  const [address = '', gateway = ''] = (await docker.docker('inspect', '--format', format, `hutch-${neighbour}`)).split(
    ' ',
  )
  const program = escapeProgram({
    neighbour: address,
    gateway,
    machine: docker.machine,
    hubPort: Number(new URL(hub.hutch().url).port),
    openPort: (served.address() as AddressInfo).port,
    homes: join(folder, 'homes'),
    other: 'rosalind',
    data: join(hub.data, '43/raw'),
  })
  const came = JSON.parse(await kernel.run(program)) as Record<string, unknown>
  const { 'more memory': memory, 'more processes': processes, [control]: reached, ...others } = came
  t.deepEqual([...new Set(Object.values(others))], ['refused'], JSON.stringify(others))
  t.deepEqual({ memory, processes, reached }, { memory: -9, processes: 'limited', reached: 'reached' })
  // All of it was this environment's own: the hub reaches the neighbour, and its limit left the kernel alone.
  t.is(await kernel.run('print(6 * 7)'), '42')
}

const control = 'the machine, where it serves everybody'

async function inWords(t: ExecutionContext, { site }: DockerHub, me: Scientist): Promise<void> {
  const { docker } = site
  const registry = await startRegistry(t, docker, { isClosed: true })
  await registry.push('tiny:1')
  const rows = [
    ['greedy', [], 'outOfMemory', /more memory than it was given\. Next time choose “Small”, which has 1 GiB\.$/],
    ['hasty', [], 'failed', /code 3\.?\s*the licence server is away/],
    ['silent', [], 'failed', /not ready within 3 s/],
    ['broken', [], 'failed', /The command \/no\/such\/program is not there/],
    ['absent', [], 'launchRefused', /nobody\/has-it:1 is not on the machine, and may not be fetched/],
    ['unreachable', [], 'launchRefused', /There is no image .*none:1/],
    ['terminal', ['45'], 'failed', /The directory "[^"]*45[^"]*" .* can't be read by you/],
    ['terminal', ['44'], 'launchRefused', /data\/44\/\w+ is not on the machine that runs Docker/],
  ] as const
  const all = rows.map(async ([profile, proposals, reason, message]) => {
    const launched = await me.launch({ profile, flavour: 'tight', proposals })
    const told = await isOver(me, launched)
    t.is(told.reason, reason, `${profile}: ${JSON.stringify(told)}`)
    t.regex(told.message ?? '', message)
  })
  await Promise.all(all)
  // Without a login, and with a wrong one.
  await writeFile(join(site.folder, 'wrong-password'), 'not this one')
  const wrong = { username: registryAccount.username, passwordFile: join(site.folder, 'wrong-password') }
  for (const [name, registries] of [
    ['nobody', {}],
    ['stranger', { [registry.address]: wrong }],
  ] as const) {
    const spawner = await site.spawner(name, { registries })
    t.teardown(() => spawner.close?.())
    const application = { kind: 'terminal', argv: [], readyPath: '', landingPath: '' } as const
    const image = `${registry.address}/tiny:1`
    const spec = site.spec(name, name, application, { image, profile: profileSchema.parse({}) })
    const signal = AbortSignal.timeout(60_000)
    await spawner.ensure(spec, signal)
    const told = await until(
      'it is refused',
      async () => {
        const seen = (await spawner.observe(signal)).get(spec.id)?.observation
        return seen?.phase === 'ended' && seen
      },
      patience,
    )
    t.is(told.reason, 'launchRefused')
    t.regex(told.message, /asks for a login, or refuses the one that it got/, name)
    await spawner.remove(spec.id, signal)
  }
  // An image that has to be fetched, with the hub's login; and a container that is removed behind the hub's back is never made again.
  const pulled = await me.launch({ profile: 'pulled', flavour: 'tight' })
  await me.enter(pulled)
  await docker.docker('rm', '--force', `hutch-${pulled.id}`)
  t.is((await isOver(me, pulled)).reason, 'vanished')
  t.is(await docker.docker('ps', '--all', '--quiet', '--filter', `name=hutch-${pulled.id}`), '')
}

interface Running {
  readonly hub: DockerHub
  readonly docker: TestDocker
  readonly me: Scientist
  readonly kernel: RemoteKernel
  readonly launched: Launched
}

/** Docker is away for a while, then the hub: notebooks go on, and nothing is lost. */
async function restarts(t: ExecutionContext, { hub, docker, me, kernel, launched }: Running): Promise<void> {
  await kernel.run('kept = 41')
  await docker.stopDaemon()
  const again = { profile: 'terminal', flavour: 'tight', proposals: [] }
  const refused = await until(
    'it takes nothing new',
    async () => {
      const answer = await me.api<{ detail?: string; id?: string }>('POST', '/environments', again)
      return answer.status === 503 ? answer.body : undefined
    },
    { timeoutMs: 60_000, everyMs: 500 },
  )
  t.regex(refused.detail ?? '', /Docker does not answer/)
  t.is(await kernel.run('print(kept + 1)'), '42')
  t.is(await me.state(launched.id), 'ready')
  await docker.startDaemon()
  await hub.dieAndRestart()
  t.is(await kernel.run('print(kept + 1)'), '42')
  await until('the next hub knows it', async () => (await me.state(launched.id)) === 'ready', patience)
  // What was accepted while Docker was away is made now.
  const { body } = await me.api<{ items: readonly { id: string; state: string }[] }>('GET', '/environments')
  for (const { id } of body.items.filter(({ id, state }) => id !== launched.id && state !== 'ended')) {
    await me.enter({ id, url: new URL(`../${id}/`, launched.url).href })
    await me.api('POST', `/environments/${id}/stop`)
    await isOver(me, { id })
  }
}
