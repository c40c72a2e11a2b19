/** A real PostgreSQL of a test's own: a temporary folder, a unix socket, an unprivileged account. */
import { execFile, spawn } from 'node:child_process'
import { chmod, chown, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { ExecutionContext } from 'ava'
import { openStore, type Store } from '../../hub/store/index.ts'
import type { Configuration } from '../../config/schema.ts'
import { available, program } from './component.ts'
import { silentLog } from './spawnerSubject.ts'
import { temporaryFolder } from './temporary.ts'
import { until } from './until.ts'

const run = promisify(execFile)

export type PostgresConfiguration = Extract<Configuration['database'], { type: 'postgresql' }>

/** Undefined: it is not installed, and the test has said so. `password`: what the role must give; absent: nothing. */
export async function startPostgres(
  t: ExecutionContext,
  password?: string,
): Promise<PostgresConfiguration | undefined> {
  const binaries = await newestBinaries()
  const initdb = program('initdb', binaries)
  if (!available(t, 'PostgreSQL', initdb, 'apt-get install postgresql')) return undefined
  const { uid, gid, prefix } = await account()
  const folder = await mkdtemp(join(tmpdir(), 'hutch-pg-'))
  await chmod(folder, 0o700)
  await chown(folder, uid, gid)
  const data = join(folder, 'data')
  const [setup, ...setupArguments] = [
    ...prefix,
    initdb ?? '',
    '-D',
    data,
    '-A',
    'trust',
    '-U',
    'hutch',
    '--no-sync',
    '-E',
    'UTF8',
    '--locale=C',
  ]
  await run(setup ?? '', setupArguments, { cwd: folder })
  const options = ['-D', data, '-k', folder, '-c', 'listen_addresses=', '-c', 'fsync=off', '-c', 'max_connections=150']
  const [server, ...serverArguments] = [...prefix, program('postgres', binaries) ?? '', ...options]
  const child = spawn(server ?? '', serverArguments, { cwd: folder, stdio: 'ignore' })
  const exited = new Promise((resolve) => child.once('exit', resolve))
  t.teardown(async () => {
    // SIGQUIT: at once, whoever is connected.
    child.kill('SIGQUIT')
    await exited
    await rm(folder, { recursive: true, force: true })
  })
  const psql = program('psql', binaries) ?? 'psql'
  const ask = (sql: string): Promise<unknown> => run(psql, ['-h', folder, '-U', 'hutch', '-d', 'postgres', '-c', sql])
  await until(
    'PostgreSQL answers',
    () =>
      ask('select 1').then(
        () => true,
        () => false,
      ),
    { timeoutMs: 60_000, everyMs: 100 },
  )
  await ask('create database hutch')
  if (password !== undefined) {
    await ask(`alter role hutch password '${password}'`)
    const { writeFile } = await import('node:fs/promises')
    await writeFile(join(data, 'pg_hba.conf'), 'local all all scram-sha-256\n')
    await run(psql, ['-h', folder, '-U', 'hutch', '-d', 'postgres', '-c', 'select pg_reload_conf()']).catch(
      () => undefined,
    )
  }
  return { type: 'postgresql', host: folder, port: 5432, database: 'hutch', user: 'hutch', tls: false, poolSize: 10 }
}

/** Both kinds of database, open; one that is not installed is left out. */
export async function databases(t: ExecutionContext): Promise<Store[]> {
  const sqlite = await openStore({ type: 'sqlite' }, { stateFolder: await temporaryFolder(t), log: silentLog })
  t.teardown(() => sqlite.close())
  const postgres = await startPostgres(t)
  if (postgres === undefined) return [sqlite]
  return [sqlite, await openPostgresStore(t, postgres)]
}

/** Another hub's view of the same PostgreSQL. */
export async function openPostgresStore(t: ExecutionContext, configuration: PostgresConfiguration): Promise<Store> {
  const store = await openStore(configuration, { stateFolder: '/nonexistent', log: silentLog })
  t.teardown(() => store.close())
  return store
}

async function newestBinaries(): Promise<string[]> {
  const versions = await readdir('/usr/lib/postgresql').catch(() => [])
  return versions.toSorted((a, b) => Number(b) - Number(a)).map((version) => `/usr/lib/postgresql/${version}/bin`)
}

/** PostgreSQL refuses to run as root. */
async function account(): Promise<{ uid: number; gid: number; prefix: string[] }> {
  const own = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, prefix: [] }
  if (own.uid !== 0) return own
  const [uid = 0, gid = 0] = await Promise.all(
    ['-u', '-g'].map(async (flag) => Number((await run('id', [flag, 'postgres'])).stdout)),
  )
  return { uid, gid, prefix: ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups'] }
}
