/**
 * A real SLURM cluster of the test's own: munge, MariaDB, slurmdbd, slurmctld, two slurmd with fake GPUs, slurmrestd
 * with JSON web tokens. In a private folder with private ports and accounts; it leaves nothing. Needs root.
 */
import { execFile, spawnSync } from 'node:child_process'
import { createHmac, randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, chown, cp, mkdir, mkdtemp, readdir, readFile, rename, rm, rmdir, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { program } from '../../support/component.ts'
import { freePort } from '../../support/hutch.ts'
import { until } from '../../support/until.ts'
import { startDaemon, type Daemon } from './daemon.ts'
import { cgroupConf, gresConf, slurmConf, slurmdbdConf, type ClusterFiles } from './files.ts'
import { createPeople, people, type Name, type View } from './people.ts'

export interface SlurmCluster {
  readonly folder: string
  readonly view: View
  readonly nodes: readonly string[]
  /** http://127.0.0.1:… */
  readonly restUrl: string
  readonly restSocket: string
  /** Of JSON web tokens: HS256. */
  readonly keyFile: string
  readonly env: NodeJS.ProcessEnv
  /** A token for anybody, as the minter would make it. */
  token(user: string, lifetimeSeconds?: number): Promise<string>
  /** A command of the cluster as root, or as one of the people; what it printed. */
  readonly run: (argv: readonly string[], as?: string) => Promise<string>
  start(name: DaemonName): Promise<void>
  stop(name: DaemonName): Promise<void>
  kill(name: DaemonName): Promise<void>
  log(name: string): Promise<string>
  close(): Promise<void>
}

type DaemonName = 'slurmctld' | 'slurmdbd' | 'slurmrestd' | 'node1' | 'node2'

/** What is missing for it; undefined: nothing. */
export function slurmMissing(): string | undefined {
  if (process.getuid?.() !== 0) return 'root'
  const programs = ['munged', 'mariadbd', 'slurmdbd', 'slurmctld', 'slurmd', 'slurmrestd', 'sacctmgr', 'squeue']
  return programs.find((name) => program(name) === undefined)
}

export async function startSlurm({ minJobAgeSeconds = 30, nodes: count = 2 } = {}): Promise<SlurmCluster> {
  await mkdir('/srv', { recursive: true })
  const folder = await mkdtemp('/srv/hslurm-')
  await chmod(folder, 0o755)
  const tag = randomBytes(3).toString('hex')
  const numbers = Array.from({ length: count }, (_, index) => index + 1)
  const files: ClusterFiles = {
    folder,
    hostname: hostname().split('.')[0] ?? 'localhost',
    // Nodes name their control groups: names of the test's own.
    nodes: await Promise.all(numbers.map(async (each) => ({ name: `n${tag}${each}`, port: await freePort() }))),
    ports: { slurmctld: await freePort(), slurmdbd: await freePort() },
    minJobAgeSeconds,
    cgroups: existsSync('/sys/fs/cgroup/memory/cgroup.procs'),
  }
  const cluster = await prepare(files)
  try {
    await cluster.up()
    return cluster
  } catch (error) {
    const logs = await Promise.all(['slurmctld', 'slurmdbd', 'mariadbd', 'munged'].map((name) => cluster.log(name)))
    await cluster.close()
    throw new Error(`the cluster does not come up:\n${logs.join('\n---\n').slice(-6_000)}`, { cause: error })
  }
}

async function prepare(files: ClusterFiles): Promise<SlurmCluster & { up(): Promise<void> }> {
  const { folder, nodes } = files
  const view = await layOut(files)
  const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', SLURM_CONF: join(folder, 'etc/slurm.conf') }
  const daemons = new Map<string, Daemon>()
  const restPort = await freePort()
  const restSocket = join(folder, 'run/rest/s')
  const keyFile = join(folder, 'etc/jwt.key')
  const key = await readFile(keyFile)

  const launch = (name: string, argv: readonly string[], as?: string, more: NodeJS.ProcessEnv = {}): void => {
    const options = { argv, env: { ...env, ...more }, logFile: join(folder, `log/${name}.out`), within: view.within }
    daemons.set(name, startDaemon({ ...options, ...(as === undefined ? {} : { as }) }))
  }
  const run: SlurmCluster['run'] = async (argv, as) => {
    const become = as === undefined ? [] : ['setpriv', '--reuid', as, '--regid', as, '--init-groups', '--']
    const [command = '', ...rest] = view.within([...become, ...argv])
    return (await promisify(execFile)(command, rest, { env, timeout: 60_000, maxBuffer: 2 ** 26, cwd: '/' })).stdout
  }
  const starts: Readonly<Record<DaemonName, () => Promise<void>>> = {
    async slurmdbd() {
      launch('slurmdbd', ['slurmdbd', '-D'], 'slurm', { MYSQL_UNIX_PORT: join(folder, 'run/db/s') })
      await listens('slurmdbd', files.ports.slurmdbd)
    },
    async slurmctld() {
      launch('slurmctld', ['slurmctld', '-D'], 'slurm')
      await listens('slurmctld', files.ports.slurmctld)
    },
    async slurmrestd() {
      await rm(restSocket, { force: true })
      const argv = ['slurmrestd', '-t', '20', '-a', 'rest_auth/jwt', '-s', 'openapi/v0.0.38,openapi/dbv0.0.38']
      const own = { SLURM_JWT: 'daemon', SLURMRESTD_JSON: 'compact' }
      launch('slurmrestd', [...argv, `unix:${restSocket}`, `127.0.0.1:${restPort}`], 'slurmrest', own)
      await listens('slurmrestd', restPort)
    },
    node1: async () => launch('node1', ['slurmd', '-D', '-N', nodes[0]?.name ?? '']),
    node2: async () => launch('node2', ['slurmd', '-D', '-N', nodes[1]?.name ?? '']),
  }

  async function up(): Promise<void> {
    const munge = `--key-file=${folder}/munge/key --socket=${folder}/run/munge/s --pid-file=${folder}/run/munge/pid --seed-file=${folder}/munge/seed --log-file=${folder}/munge/log`
    launch('munged', ['munged', '--foreground', '--num-threads=4', ...munge.split(' ')], 'munge')
    await startDatabase(folder, (argv) => launch('mariadbd', argv, 'mysql'))
    await starts.slurmdbd()
    await enrol(run)
    await starts.slurmctld()
    for (const index of nodes.keys()) await starts[index === 0 ? 'node1' : 'node2']()
    await starts.slurmrestd()
    const idle = async (): Promise<boolean> =>
      (await run(['sinfo', '-h', '-N', '-p', 'main', '-o', '%t']))
        .trim()
        .split(/\s+/)
        .every((state) => state === 'idle')
    await until('all nodes are idle', () => idle().catch(() => false), { timeoutMs: 90_000, everyMs: 100 })
    await limitGpus(run)
  }

  return {
    folder,
    view,
    env,
    keyFile,
    restSocket,
    nodes: nodes.map(({ name }) => name),
    restUrl: `http://127.0.0.1:${restPort}`,
    up,
    run,
    token: async (user, lifetimeSeconds = 3_600) => sign(key, user, lifetimeSeconds),
    start: (name) => starts[name](),
    stop: async (name) => await daemons.get(name)?.stop(),
    kill: async (name) => await daemons.get(name)?.kill(),
    async log(name) {
      const texts = await Promise.all(
        [`log/${name}.out`, `log/${name}.log`].map((path) => readFile(join(folder, path), 'utf8').catch(() => '')),
      )
      return texts.join('')
    },
    async close() {
      if (daemons.get('slurmctld')?.isAlive() === true) {
        const states = ['PENDING', 'RUNNING', 'SUSPENDED'].flatMap((state) => ['--state', state])
        await run(['scancel', ...states, '--quiet', '--signal=KILL']).catch(() => undefined)
      }
      for (const name of ['slurmrestd', 'node1', 'node2', 'slurmctld', 'slurmdbd', 'mariadbd', 'munged']) {
        await daemons.get(name)?.stop()
      }
      for (const { name } of nodes) await endNode(name)
      await rm(folder, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

async function layOut(files: ClusterFiles): Promise<View> {
  const { folder } = files
  const owned: readonly (readonly [path: string, mode: number, owner: string])[] = [
    ['etc', 0o755, 'root'],
    ['log', 0o1777, 'root'],
    ['run', 0o755, 'root'],
    ['dev', 0o755, 'root'],
    ['spool', 0o755, 'root'],
    ['munge', 0o700, 'munge'],
    ['run/munge', 0o755, 'munge'],
    ['run/db', 0o755, 'mysql'],
    ['run/slurm', 0o755, 'slurm'],
    ['spool/slurmctld', 0o755, 'slurm'],
  ]
  for (const [path, mode, owner] of owned) {
    await mkdir(join(folder, path), { recursive: true })
    await chmod(join(folder, path), mode)
    await give(join(folder, path), owner)
  }
  const view = await createPeople(folder)
  await mkdir(join(folder, 'run/rest'))
  await chown(join(folder, 'run/rest'), 23_180, 23_180)
  const texts: readonly (readonly [path: string, text: string | Buffer, mode: number, owner: string])[] = [
    ['munge/key', randomBytes(1_024), 0o400, 'munge'],
    ['etc/jwt.key', randomBytes(32), 0o400, 'slurm'],
    ['etc/slurm.conf', slurmConf(files), 0o644, 'root'],
    ['etc/slurmdbd.conf', slurmdbdConf(files), 0o600, 'slurm'],
    ['etc/gres.conf', gresConf(files), 0o644, 'root'],
    ['etc/cgroup.conf', cgroupConf, 0o644, 'root'],
  ]
  for (const [path, text, mode, owner] of texts) {
    await writeFile(join(folder, path), text, { mode })
    await give(join(folder, path), owner)
  }
  for (const { name } of files.nodes) await mkdir(join(folder, 'spool', name))
  for (const index of [0, 1]) spawnSync('mknod', ['-m', '666', join(folder, `dev/nvidia${index}`), 'c', '1', '3'])
  return view
}

/** An empty database is made once for this machine: making it takes longer than all the rest. */
async function startDatabase(folder: string, launch: (argv: readonly string[]) => void): Promise<void> {
  const data = join(folder, 'db')
  const { stdout } = await promisify(execFile)('mariadbd', ['--version'])
  const version = /Ver (\S+)/.exec(stdout)?.[1] ?? 'unknown'
  const cache = `/var/cache/hutch-tests/mariadb-${version}`
  if (!existsSync(cache)) {
    await mkdir('/var/cache/hutch-tests', { recursive: true })
    const draft = await mkdtemp(`${cache}.`)
    await give(draft, 'mysql')
    const install = '--no-defaults --user=mysql --skip-test-db --auth-root-authentication-method=socket'.split(' ')
    await promisify(execFile)('mariadb-install-db', [...install, `--datadir=${draft}`], { timeout: 120_000 })
    await rename(draft, cache).catch(() => rm(draft, { recursive: true, force: true }))
  }
  await cp(cache, data, { recursive: true })
  spawnSync('chown', ['-R', 'mysql:mysql', data])
  const socket = join(folder, 'run/db/s')
  const options = '--no-defaults --skip-networking --innodb-buffer-pool-size=64M --innodb-lock-wait-timeout=900'
  const fast = '--innodb-flush-log-at-trx-commit=0 --skip-log-bin --performance-schema=OFF'
  launch(['mariadbd', ...`${options} ${fast}`.split(' '), `--datadir=${data}`, `--socket=${socket}`])
  const make = `create database slurm_acct; create user slurm@localhost identified via unix_socket; grant all on slurm_acct.* to slurm@localhost;`
  const ask = async (sql: string): Promise<boolean> =>
    await promisify(execFile)('mariadb', ['--no-defaults', '-S', socket, '-u', 'root', '-e', sql], { timeout: 60_000 })
      .then(() => true)
      .catch(() => false)
  await until('the database answers', () => ask('select 1'), { timeoutMs: 60_000, everyMs: 50 })
  if (!(await ask(make))) throw new Error('the database takes no tables')
}

/** Accounts and limits: ada has two accounts and a limit on GPUs; marie may have two jobs at once of one QOS. */
async function enrol(run: SlurmCluster['run']): Promise<void> {
  const sacctmgr = async (line: string): Promise<string> => await run(['sacctmgr', '-iQ', ...line.split(' ')])
  await sacctmgr('add cluster hutch')
  await sacctmgr('add qos two MaxJobsPerUser=2 MaxTRESPerUser=cpu=8')
  await sacctmgr('add qos never MaxSubmitJobsPerUser=1 Flags=DenyOnLimit')
  await sacctmgr('add account research,beamtime Cluster=hutch')
  await sacctmgr('add user ada,marie,emmy Account=research DefaultAccount=research QOS=normal,two,never')
  await sacctmgr('add user ada Account=beamtime QOS=normal')
  // The hub's own account: it looks at the queue, and may make the time of jobs longer.
  await sacctmgr('add user hutch Account=research AdminLevel=Operator')
}

/** Known to the database only after slurmctld has told it of its GPUs. */
async function limitGpus(run: SlurmCluster['run']): Promise<void> {
  const modify = 'modify user where name=ada account=beamtime set GrpTRES=gres/gpu=1'
  await run(['sacctmgr', '-iQ', ...modify.split(' ')])
}

async function listens(name: string, port: number): Promise<void> {
  const answers = async (): Promise<boolean> =>
    await new Promise((resolve) => {
      const socket = connect({ host: '127.0.0.1', port })
      socket.once('connect', () => {
        socket.destroy()
        resolve(true)
      })
      socket.once('error', () => resolve(false))
    })
  await until(`${name} listens`, answers, { timeoutMs: 60_000, everyMs: 30 })
}

/** RFC 7519 by hand, so that the tests' tokens do not come from what is tested. */
function sign(key: Buffer, user: string, lifetimeSeconds: number): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const now = Math.floor(Date.now() / 1_000)
  const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ iat: now, exp: now + lifetimeSeconds, sun: user })}`
  return `${text}.${createHmac('sha256', key).update(text).digest('base64url')}`
}

/** What a killed job left, then the node's control groups. */
async function endNode(node: string): Promise<void> {
  const parents = await readdir('/sys/fs/cgroup').catch(() => [])
  for (const parent of parents) {
    const own = join('/sys/fs/cgroup', parent, `slurm_${node}`)
    const below = await readdir(own, { recursive: true, withFileTypes: true }).catch(() => [])
    const folders = below.filter((each) => each.isDirectory()).map((each) => join(each.parentPath, each.name))
    for (const folder of [own, ...folders].toSorted((a, b) => b.length - a.length)) {
      const pids = await readFile(join(folder, 'cgroup.procs'), 'utf8').catch(() => '')
      for (const pid of pids.split('\n').filter(Boolean)) signal(Number(pid))
      await until('the group is gone', () => removed(folder), { timeoutMs: 10_000 }).catch(() => undefined)
    }
  }
}

async function removed(folder: string): Promise<boolean> {
  return await rmdir(folder).then(
    () => true,
    () => !existsSync(folder),
  )
}

function signal(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It ended by itself.
  }
}

async function give(path: string, owner: string): Promise<void> {
  if (spawnSync('chown', [`${owner}:${owner}`, path]).status !== 0) throw new Error(`there is no user ${owner}`)
}

export { people, type Name }
