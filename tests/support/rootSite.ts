/** A facility on one machine, whole: the real hub as root, three accounts with homes, two proposals with groups. */
import { randomBytes } from 'node:crypto'
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, readlink, rm, rmdir, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { listGroups } from '../../spawners/local/cgroups.ts'
import { runHutch, type RunningHutch } from './hutch.ts'
import { readyJupyter } from './jupyter-on-path.ts'
import { logInAs, type Scientist } from './scientist.ts'

/** Numbers that no machine gives to anybody by itself, of this test file alone: its tests count their processes. */
const [firstUid, firstGid] = [20_000, 32_000].map((first) => first + (process.pid % 1_000) * 10) as [number, number]
const groups = { p42: firstGid, p43: firstGid + 1, beamline: firstGid + 2 }
export const people = {
  ada: { uid: firstUid, groups: { p42: groups.p42, beamline: groups.beamline } },
  marie: { uid: firstUid + 1, groups: { p42: groups.p42, p43: groups.p43 } },
  rosalind: { uid: firstUid + 2, groups: { p43: groups.p43 } },
} as const
export type Name = keyof typeof people

export interface RootSite {
  readonly state: string
  /** Of the machine: homes and data lie in it. */
  readonly folder: string
  readonly hub: string
  home(name: Name): string
  hutch(): RunningHutch
  logIn(name: Name): Promise<Scientist>
  /** Another hub, on the same state and the same port. */
  restart(): Promise<void>
  /** The environment's own control groups. */
  groups(id: string): Promise<readonly string[]>
  close(): Promise<void>
}

const flavours = {
  small: { title: 'Small', cpu: 1, memory: '1GiB', processes: 200 },
  tight: { title: 'Tight', cpu: 1, memory: '256MiB', processes: 64 },
}

export async function startRootSite(t: ExecutionContext): Promise<RootSite> {
  const jupyter = await readyJupyter(t)
  if ('missing' in jupyter) throw new Error(jupyter.missing)
  // Not in /tmp, which every environment has its own of.
  await mkdir('/srv', { recursive: true })
  const folder = await mkdtemp('/srv/hutch-')
  await chmod(folder, 0o755)
  const state = await mkdtemp(join(tmpdir(), 'hutch-'))
  const hub = `root-${randomBytes(4).toString('hex')}`
  const home = (name: Name): string => join(folder, 'home', name)
  await makeHomes(home)
  await makeData(join(folder, 'data'))
  const file = join(state, 'hutch.json')
  await writeFile(file, JSON.stringify(configuration(hub, folder, home)))
  const start = async (port?: number): Promise<RunningHutch> =>
    await runHutch({
      state,
      asRoot: true,
      args: ['--config', file],
      env: { PATH: [jupyter.binFolder, process.env['PATH']].join(delimiter) },
      ...(port === undefined ? {} : { port }),
    })
  let hutch = await start()
  const groups = async (id: string): Promise<readonly string[]> =>
    await listGroups('/sys/fs/cgroup', `hutch-${hub}`, id)
  return {
    state,
    folder,
    hub,
    home,
    groups,
    hutch: () => hutch,
    logIn: async (name) => await logInAs(hutch.url, name, (await hutch.passwords())[name] ?? ''),
    async restart() {
      hutch = await start(Number(new URL(hutch.url).port))
    },
    async close() {
      await hutch.stop()
      const parents = await readdir('/sys/fs/cgroup')
      for (const parent of ['', ...parents]) {
        // Only where this hub made one.
        await rmdir(join('/sys/fs/cgroup', parent, `hutch-${hub}`)).catch(() => undefined)
      }
      for (const path of [state, folder]) await rm(path, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

async function makeHomes(home: (name: Name) => string): Promise<void> {
  for (const [name, { uid }] of entries()) {
    await mkdir(home(name), { recursive: true })
    await writeFile(join(home(name), 'diary'), `of ${name}\n`, { mode: 0o600 })
    for (const path of [home(name), join(home(name), 'diary')]) await chown(path, uid, uid)
    await chmod(home(name), 0o700)
  }
}

/** Raw data, which the files' own modes would let members change, and a folder that they share. */
async function makeData(data: string): Promise<void> {
  for (const [proposal, gid] of [
    ['42', people.ada.groups.p42],
    ['43', people.rosalind.groups.p43],
  ] as const) {
    const [raw, processed] = [join(data, proposal, 'raw'), join(data, proposal, 'processed')]
    for (const path of [raw, processed]) await mkdir(path, { recursive: true })
    await writeFile(join(raw, 'run1'), `measured for ${proposal}\n`, { mode: 0o660 })
    await chmod(join(raw, 'run1'), 0o660)
    for (const path of [raw, join(raw, 'run1'), processed]) await chown(path, 0, gid)
    await chmod(raw, 0o770)
    await chmod(processed, 0o2770)
  }
  await writeFile(
    join(data, 'catalogue.yaml'),
    JSON.stringify({
      proposals: [
        { id: '42', title: 'Micelles', instrument: 'LOQ', members: ['ada', 'marie'] },
        { id: '43', title: 'Fibres', instrument: 'LOQ', members: ['marie', 'rosalind'] },
      ],
    }),
  )
}

function configuration(hub: string, folder: string, home: (name: Name) => string): object {
  const data = join(folder, 'data')
  const users = entries().map(([name, { uid, groups }]) => [
    name,
    { uid, gid: uid, home: home(name), groups: Object.entries(groups).map(([group, gid]) => ({ name: group, gid })) },
  ])
  const rule = (name: string, readOnly: boolean): object => ({
    name,
    source: `${data}/{proposal}/${name}`,
    target: `/data/{proposal}/${name}`,
    allowedRoots: [data],
    readOnly,
  })
  const eat = 'held = []\nwhile True: held.append(b"x" * 2**22)'
  return {
    hub: { id: hub },
    login: { demo: true },
    accounts: { source: 'file', users: Object.fromEntries(users) },
    catalogue: { type: 'file', path: join(data, 'catalogue.yaml') },
    mounts: [rule('raw', true), rule('processed', false)],
    flavours,
    spawners: { here: { type: 'local', umask: '0007' } },
    profiles: {
      lab: { title: 'JupyterLab', kind: 'notebook', flavours: ['small'], on: { here: {} } },
      greedy: {
        title: 'Greedy',
        kind: 'web',
        argv: ['/usr/bin/python3', '-c', eat],
        flavours: ['tight'],
        on: { here: {} },
      },
    },
  }
}

function entries(): [Name, (typeof people)[Name]][] {
  return Object.entries(people) as [Name, (typeof people)[Name]][]
}

/** Of this account, wherever they run: the pids as the machine counts them. */
export async function processesOf(uid: number): Promise<readonly number[]> {
  const found: number[] = []
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const owner = await stat(`/proc/${name}`).then(
      (entry) => entry.uid,
      () => undefined,
    )
    if (owner === uid) found.push(Number(name))
  }
  return found
}

/** Keepers, sandboxes and all that runs in them. */
export async function processesAbout(site: RootSite, id: string): Promise<readonly number[]> {
  const found: number[] = []
  for (const name of (await readdir('/proc')).filter((each) => /^\d+$/.test(each))) {
    const environment = await readFile(`/proc/${name}/environ`, 'utf8').catch(() => '')
    const folder = await readlink(`/proc/${name}/cwd`).catch(() => '')
    const isKeeper = dirname(folder) === join(site.state, 'spawners/here', id)
    if (isKeeper || environment.includes(`HUTCH_ENVIRONMENT=${id}`)) found.push(Number(name))
  }
  return found
}

/** Where processes of this account listen for TCP, and the command line of the one that does. */
export async function listeners(uid: number): Promise<readonly Readonly<{ port: number; command: string }>[]> {
  const lines = (await Promise.all(['tcp', 'tcp6'].map((name) => readFile(`/proc/net/${name}`, 'utf8')))).join('\n')
  const ports = new Map(
    lines
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter((fields) => fields[3] === '0A' && fields[7] === String(uid))
      .map((fields) => [fields[9] ?? '', Number.parseInt(fields[1]?.split(':')[1] ?? '', 16)]),
  )
  const found: { port: number; command: string }[] = []
  for (const pid of await processesOf(uid)) {
    const command = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).replaceAll('\0', ' ')
    for (const inode of await openSockets(pid)) {
      const port = ports.get(inode)
      if (port !== undefined) found.push({ port, command })
    }
  }
  return found
}

/** Paths of the unix sockets that these processes hold open; abstract ones begin with @. */
export async function unixSockets(pids: readonly number[]): Promise<readonly string[]> {
  const open = new Set((await Promise.all(pids.map(openSockets))).flat())
  const lines = (await readFile('/proc/net/unix', 'utf8')).split('\n').map((line) => line.trim().split(/\s+/))
  const paths = lines.filter((fields) => open.has(fields[6] ?? '')).map((fields) => fields[7] ?? '')
  return [...new Set(paths.filter((path) => path !== ''))]
}

/** Inodes. */
async function openSockets(pid: number): Promise<readonly string[]> {
  const names = await readdir(`/proc/${pid}/fd`).catch(() => [])
  const targets = await Promise.all(names.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')))
  return targets.flatMap((target) => /^socket:\[(\d+)\]$/.exec(target)?.[1] ?? [])
}
