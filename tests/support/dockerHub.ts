/** A facility with one Docker: the real hub as an ordinary user, two people, one proposal, images of several kinds. */
import { execFile } from 'node:child_process'
import { chmod, chown, copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { ExecutionContext } from 'ava'
import { program } from './component.ts'
import { registryAccount } from './docker-registry.ts'
import type { TestDocker } from './docker.ts'
import { dockerSite, type DockerSite } from './dockerSubject.ts'
import { startHutch, type RunningHutch } from './hutch.ts'

const run = promisify(execFile)

export const people = {
  ada: { uid: 26_001, groups: [{ name: 'p42', gid: 36_042 }] },
  rosalind: { uid: 26_002, groups: [] },
} as const

export interface DockerHub {
  readonly site: DockerSite
  readonly data: string
  hutch(): RunningHutch
  /** Kills it and starts the next one on the same state. */
  dieAndRestart(): Promise<void>
}

/** Busybox and nothing else: no C library, and a name of its own for ada's uid. It starts a web server. */
export const tiny = 'tiny:1'

export async function startDockerHub(t: ExecutionContext, docker: TestDocker): Promise<DockerHub> {
  const site = await dockerSite(t, docker)
  await chmod(site.endpoint.slice('unix://'.length), 0o666)
  await importTiny(docker, site.folder)
  // As the spawner makes it, but for the addresses of containers, which the test's machine must see as they are.
  const options = ['enable_icc', 'enable_ip_masquerade'].map((name) => `--opt=com.docker.network.bridge.${name}=false`)
  await docker.docker('network', 'create', ...options, 'hutch-facility')
  await makeFolders(site.folder)
  await writeFile(join(site.folder, 'registry-password'), `${registryAccount.password}\n`)
  const state = await mkdtemp(join(tmpdir(), 'hutch-'))
  t.teardown(() => rm(state, { recursive: true, force: true, maxRetries: 5 }))
  const file = join(state, 'hutch.json')
  await writeFile(file, JSON.stringify(configuration(site)))
  const start = async (port?: number): Promise<RunningHutch> =>
    await startHutch(t, { state, args: ['--config', file], ...(port === undefined ? {} : { port }) })
  let hutch = await start()
  return {
    site,
    data: join(site.folder, 'data'),
    hutch: () => hutch,
    async dieAndRestart() {
      await hutch.kill()
      hutch = await start(Number(new URL(hutch.url).port))
    },
  }
}

function configuration({ folder, docker, endpoint }: DockerSite): object {
  const users = Object.entries(people).map(([name, { uid, groups }]) => [
    name,
    { uid, gid: uid, home: `${folder}/homes/${name}`, groups, shell: '/bin/sh' },
  ])
  const data = join(folder, 'data')
  const rule = (name: string, readOnly: boolean): object => ({
    name,
    source: `${data}/{proposal}/${name}`,
    target: `/data/{proposal}/${name}`,
    allowedRoots: [data],
    readOnly,
  })
  const profile = (part: object): object => ({
    title: 'Tiny',
    image: tiny,
    flavours: ['tight'],
    on: { docker: { pull: 'never' } },
    ...part,
  })
  const shell = (line: string): object => profile({ kind: 'web', argv: ['/bin/sh', '-c', line] })
  return {
    hub: { id: 'facility' },
    login: { demo: true },
    accounts: { source: 'file', users: Object.fromEntries(users) },
    catalogue: { type: 'file', path: join(data, 'catalogue.yaml') },
    mounts: [rule('raw', true), rule('processed', false)],
    agents: { listen: `${docker.machine}:0` },
    flavours: {
      small: { title: 'Small', cpu: 2, memory: '1GiB', processes: 256 },
      tight: { title: 'Tight', cpu: 0.5, memory: '192MiB' },
    },
    environments: { perUser: 10 },
    spawners: {
      docker: {
        type: 'docker',
        endpoint,
        agent: { from: 'image', image: 'tiny-agent:1' },
        hostRoots: [folder],
        umask: '0007',
        stopGrace: '5s',
        registries: {
          [`${docker.machine}:5000`]: {
            username: registryAccount.username,
            passwordFile: join(folder, 'registry-password'),
          },
        },
      },
    },
    profiles: {
      lab: profile({ title: 'JupyterLab', kind: 'notebook', image: docker.image('notebook'), flavours: ['small'] }),
      desktop: profile({ title: 'Desktop', kind: 'desktop', image: docker.image('desktop'), flavours: ['small'] }),
      terminal: profile({ kind: 'terminal' }),
      web: profile({ kind: 'web', port: 8_080, atRoot: true }),
      pulled: profile({ kind: 'terminal', image: `${docker.machine}:5000/tiny:1`, on: { docker: {} } }),
      greedy: { ...shell('tail /dev/zero'), flavours: ['tight', 'small'] },
      broken: profile({ kind: 'web', argv: ['/no/such/program'] }),
      hasty: shell('echo the licence server is away; exit 3'),
      silent: { ...shell('sleep 1000'), startTimeout: '3s' },
      absent: profile({ kind: 'terminal', image: 'nobody/has-it:1' }),
      unreachable: profile({ kind: 'terminal', image: `${docker.machine}:5000/none:1`, on: { docker: {} } }),
    },
  }
}

async function importTiny(docker: TestDocker, folder: string): Promise<void> {
  const root = join(folder, 'tiny')
  for (const name of ['bin', 'etc', 'www']) await mkdir(join(root, name), { recursive: true })
  await copyFile(program('busybox') ?? '', join(root, 'bin/busybox'))
  for (const name of ['sh', 'tail', 'sleep', 'id', 'whoami', 'wget', 'echo']) {
    await run('ln', ['-s', 'busybox', join(root, 'bin', name)])
  }
  await writeFile(join(root, 'etc/passwd'), `root:x:0:0::/:/bin/sh\nimageuser:x:${people.ada.uid}:1::/:/bin/sh\n`)
  await writeFile(join(root, 'www/index.html'), 'served by an image that knows of nothing\n')
  await imported(docker, root, tiny, 'CMD ["/bin/busybox", "httpd", "-f", "-p", "127.0.0.1:8080", "-h", "/www"]')
  await run('mkdir', [join(folder, 'agent-image')])
  await run('cp', ['-al', join(folder, 'agent'), join(folder, 'agent-image/agent')])
  await imported(docker, join(folder, 'agent-image'), 'tiny-agent:1', 'CMD ["/agent/agent"]')
}

async function imported(docker: TestDocker, root: string, name: string, change: string): Promise<void> {
  await run('tar', ['-C', root, '-cf', `${root}.tar`, '.'])
  await docker.docker('import', '--change', change, `${root}.tar`, name)
}

async function makeFolders(folder: string): Promise<void> {
  for (const [name, { uid }] of Object.entries(people)) {
    const path = join(folder, 'homes', name)
    await mkdir(path, { recursive: true })
    await chown(path, uid, uid)
    await chmod(path, 0o700)
  }
  const data = join(folder, 'data')
  const [{ gid }] = people.ada.groups
  for (const [name, mode] of [
    ['42/raw', 0o750],
    ['42/processed', 0o2770],
    ['43/raw', 0o750],
    ['45/raw', 0o700],
    ['45/processed', 0o2770],
  ] as const) {
    await mkdir(join(data, name), { recursive: true })
    await chown(join(data, name), 0, gid)
    await chmod(join(data, name), mode)
  }
  await writeFile(join(data, '42/raw/run1'), 'measured for 42\n', { mode: 0o644 })
  // Of 44 there is a row in the catalogue, and no directory; 45 has one that is its group's no more.
  const proposals = ['42', '44', '45'].map((id) => ({
    id,
    title: `Micelles ${id}`,
    instrument: 'LOQ',
    members: ['ada'],
  }))
  await writeFile(join(data, 'catalogue.yaml'), JSON.stringify({ proposals }))
}
