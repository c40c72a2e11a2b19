/** A real Grid Engine of the test's own: a master and one node, in a private folder, with accounts of its own. Needs root. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { freePort } from '../../support/hutch.ts'
import { until } from '../../support/until.ts'
import { startDaemon, type Daemon } from '../slurm/daemon.ts'
import { createPeople, type View } from '../slurm/people.ts'
import { bootstrap, configuration, executionHost, hostGroup, queue, scheduler } from './files.ts'

export interface GridEngine {
  readonly folder: string
  readonly view: View
  readonly variables: Readonly<Record<string, string>>
  /** A command of the cluster as root, or as one of the people; what it printed. */
  readonly run: (argv: readonly string[], as?: string) => Promise<string>
  start(name: 'master' | 'node'): Promise<void>
  kill(name: 'master' | 'node'): Promise<void>
  close(): Promise<void>
}

const programs = '/usr/lib/gridengine'
const share = '/usr/share/gridengine'

/** What is missing for it; undefined: nothing. */
export function gridEngineMissing(): string | undefined {
  if (process.getuid?.() !== 0) return 'root'
  return ['sge_qmaster', 'sge_execd', 'qsub'].find((name) => !existsSync(join(programs, name)))
}

export async function startGridEngine(): Promise<GridEngine> {
  await mkdir('/srv', { recursive: true })
  const folder = await mkdtemp('/srv/hge-')
  await chmod(folder, 0o755)
  for (const each of ['etc', 'told', 'log', 'default/common', 'spool/execd', 'spool/qmaster/job_scripts']) {
    await mkdir(join(folder, each), { recursive: true })
  }
  const host = hostname()
  // It will not have a host whose address is called otherwise.
  await writeFile(join(folder, 'etc/hosts'), `127.0.0.1 ${host} localhost\n`)
  const view = await createPeople(folder, [{ source: join(folder, 'etc/hosts'), target: '/etc/hosts' }])
  const variables = {
    SGE_ROOT: folder,
    SGE_CELL: 'default',
    SGE_QMASTER_PORT: String(await freePort()),
    SGE_EXECD_PORT: String(await freePort()),
  }
  const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', TZ: 'UTC', ...variables }
  const daemons = new Map<string, Daemon>()

  const run: GridEngine['run'] = async (argv, as) => {
    const become = as === undefined ? [] : ['setpriv', '--reuid', as, '--regid', as, '--init-groups', '--']
    const [command = '', ...rest] = view.within([...become, ...argv])
    return (await promisify(execFile)(command, rest, { env, timeout: 60_000, cwd: '/' })).stdout
  }
  const launch = (name: string, program: string): void => {
    const options = { argv: [join(programs, program)], env: { ...env, SGE_ND: '1' }, within: view.within }
    daemons.set(name, startDaemon({ ...options, logFile: join(folder, `log/${name}`) }))
  }
  const answers = async (): Promise<boolean> => {
    const said = await run(['qconf', '-sss']).catch(() => '')
    return said.trim() === host
  }
  const starts = {
    async master() {
      launch('master', 'sge_qmaster')
      await until('the master answers', answers, { timeoutMs: 60_000, everyMs: 100 })
    },
    node: async () => launch('node', 'sge_execd'),
  }
  const cluster: GridEngine = {
    folder,
    view,
    variables,
    run,
    start: (name) => starts[name](),
    kill: async (name) => await daemons.get(name)?.kill(),
    async close() {
      // Jobs outlive the node's daemon: they end first.
      await run(['qdel', '-u', '*']).catch(() => undefined)
      const isEmpty = async (): Promise<boolean> => (await run(['qstat', '-u', '*']).catch(() => '')) === ''
      await until('no job is left', isEmpty, { timeoutMs: 20_000, everyMs: 200 }).catch(() => undefined)
      for (const name of ['node', 'master']) await daemons.get(name)?.kill()
      await rm(folder, { recursive: true, force: true, maxRetries: 5 })
    },
  }
  try {
    await prepare(folder, host, run)
    await starts.master()
    await settle(folder, host, run)
    await starts.node()
    const isThere = async (): Promise<boolean> => /^all.q@\S+\s+BIP\s+\S+\s+[\d.]+/m.test(await run(['qstat', '-f']))
    await until('the node is there', isThere, { timeoutMs: 60_000, everyMs: 100 })
    return cluster
  } catch (error) {
    await cluster.close()
    throw error
  }
}

type Run = GridEngine['run']

/** What the master reads when it starts. */
async function prepare(folder: string, host: string, run: Run): Promise<void> {
  const common = join(folder, 'default/common')
  await writeFile(join(common, 'bootstrap'), bootstrap(folder))
  await writeFile(join(common, 'act_qmaster'), `${host}\n`)
  const usual = await readFile(join(share, 'default-configuration'), 'utf8')
  await writeFile(join(folder, 'told/configuration'), configuration(usual, folder))
  await symlink(join(share, 'util'), join(folder, 'util'))
  await run(['chown', '-R', 'sgeadmin:sgeadmin', join(folder, 'default'), join(folder, 'spool')])
  const resources = join(share, 'util/resources')
  const spool = `${common};${folder}/spool/qmaster`
  await run([join(programs, 'spoolinit'), 'classic', 'libspoolc', spool, 'init'], 'sgeadmin')
  for (const [kind, what] of [
    ['configuration', join(folder, 'told/configuration')],
    ['complexes', join(resources, 'centry')],
    ['usersets', join(resources, 'usersets')],
  ] as const) {
    await run([join(programs, 'spooldefaults'), kind, what], 'sgeadmin')
  }
  await run([join(programs, 'spooldefaults'), 'managers', 'sgeadmin', 'root'], 'sgeadmin')
}

/** What a running master is told. */
async function settle(folder: string, host: string, run: Run): Promise<void> {
  const file = async (name: string, text: string): Promise<string> => {
    const path = join(folder, 'told', name)
    await writeFile(path, text)
    return path
  }
  await run(['qconf', '-ah', host])
  await run(['qconf', '-as', host])
  await run(['qconf', '-Ae', await file('host', executionHost(host))])
  await run(['qconf', '-Msconf', await file('scheduler', scheduler(await run(['qconf', '-ssconf'])))])
  await run(['qconf', '-Ahgrp', await file('group', hostGroup(host))])
  await run(['qconf', '-Ap', join(share, 'util/resources/pe/smp')])
  await run(['qconf', '-Aq', await file('queue', queue())])
}
