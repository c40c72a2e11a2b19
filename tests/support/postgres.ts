/** A real PostgreSQL of a test's own: a temporary folder, a unix socket, an unprivileged account. */
import { execFile, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, chown, mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { ExecutionContext } from 'ava'
import { Client } from 'pg'
import { openStore, type Store } from '../../hub/store/index.ts'
import type { Configuration } from '../../config/schema.ts'
import { available, program } from './component.ts'
import { freePort } from './hutch.ts'
import { silentLog } from './spawnerSubject.ts'
import { temporaryFolder } from './temporary.ts'
import { until } from './until.ts'

const run = promisify(execFile)

export type PostgresConfiguration = Extract<Configuration['database'], { type: 'postgresql' }>

export interface PostgresServer {
  /** Its database `hutch`, on a unix socket that only this account reaches. */
  readonly configuration: PostgresConfiguration
  /** The same on TCP, for a hub of another account. */
  readonly tcp: PostgresConfiguration
  /** A new, empty database. */
  database(): Promise<PostgresConfiguration>
  /** At once, whoever is connected. */
  stop(): Promise<void>
  /** Again, after stop(). */
  start(): Promise<void>
  /** Stops it and removes its folder. */
  close(): Promise<void>
}

/** Undefined: it is not installed, and the test has said so. `password`: what the role must give; absent: nothing. */
export async function startPostgres(
  t: ExecutionContext,
  password?: string,
): Promise<PostgresConfiguration | undefined> {
  return (await startPostgresServer(t, password))?.configuration
}

/** As startPostgres; closed when the test ends. */
export async function startPostgresServer(t: ExecutionContext, password?: string): Promise<PostgresServer | undefined> {
  const server = await postgresServer(password)
  if (!available(t, 'PostgreSQL', server, 'apt-get install postgresql')) return undefined
  if (server !== undefined) t.teardown(() => server.close())
  return server
}

/** For several tests together. Undefined: it is not installed. Whoever calls closes it. */
export async function postgresServer(password?: string): Promise<PostgresServer | undefined> {
  const binaries = await newestBinaries()
  const [initdb, postgres] = [program('initdb', binaries), program('postgres', binaries)]
  if (initdb === undefined || postgres === undefined) return undefined
  const { uid, gid, prefix } = await account()
  const folder = await mkdtemp(join(tmpdir(), 'hutch-pg-'))
  await chmod(folder, 0o700)
  await chown(folder, uid, gid)
  const data = join(folder, 'data')
  // Its owner goes with it; a new one would take a second of a processor each time.
  await run('cp', ['-a', '--reflink=auto', await template(initdb, { uid, gid, prefix }), data])
  const port = await freePort()
  const settings = ['listen_addresses=127.0.0.1', `port=${port}`, 'fsync=off', 'max_connections=150']
  const serve = [...prefix, postgres, '-D', data, '-k', folder, ...settings.flatMap((setting) => ['-c', setting])]
  const shared = { type: 'postgresql', port, user: 'hutch', tls: false, poolSize: 10 } as const
  const configuration: PostgresConfiguration = { ...shared, host: folder, database: 'hutch' }
  let secret: string | undefined
  const ask = async (sql: string): Promise<void> => {
    const { host, user } = configuration
    const given = secret === undefined ? {} : { password: secret }
    const client = new Client({ host, port, user, ...given, database: 'postgres', connectionTimeoutMillis: 5_000 })
    try {
      await client.connect()
      await client.query(sql)
    } finally {
      await client.end()
    }
  }
  let stop = async (): Promise<void> => undefined

  async function start(): Promise<void> {
    const child = spawn(serve[0] ?? '', serve.slice(1), { cwd: folder, stdio: 'ignore' })
    const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    stop = async () => {
      // SIGQUIT: at once, whoever is connected.
      child.kill('SIGQUIT')
      await exited
    }
    const answers = (): Promise<boolean> =>
      ask('select 1').then(
        () => true,
        () => false,
      )
    await until('PostgreSQL answers', answers, { timeoutMs: 60_000, everyMs: 100 })
  }

  // On TCP anybody of this machine could come: nobody without a password.
  await writeFile(join(data, 'pg_hba.conf'), 'local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n')
  await start()
  await ask('create database hutch')
  if (password !== undefined) {
    await ask(`alter role hutch password '${password}'`)
    secret = password
    await writeFile(join(data, 'pg_hba.conf'), 'local all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n')
    await ask('select pg_reload_conf()')
  }
  return {
    configuration,
    tcp: { ...configuration, host: '127.0.0.1' },
    async database() {
      const name = `t${randomBytes(8).toString('hex')}`
      await ask(`create database ${name}`)
      return { ...configuration, database: name }
    },
    start,
    stop: () => stop(),
    async close() {
      await stop()
      await rm(folder, { recursive: true, force: true, maxRetries: 5 })
    },
  }
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

/** A new, empty one, made once for each version and account and kept outside of the checkout. */
async function template(initdb: string, { uid, gid, prefix }: Awaited<ReturnType<typeof account>>): Promise<string> {
  const version = (await run(initdb, ['--version'])).stdout
  const key = createHash('sha256').update(`${version} ${uid}`).digest('hex').slice(0, 12)
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'hutch-tests')
  const folder = join(cache, `postgresql-${key}`)
  if (existsSync(folder)) return folder
  await mkdir(cache, { recursive: true })
  const draft = await mkdtemp(join(tmpdir(), 'hutch-pg-'))
  await chown(draft, uid, gid)
  const data = join(draft, 'data')
  const make = [...prefix, initdb, '-D', data, '-A', 'trust', '-U', 'hutch', '--no-sync', '-E', 'UTF8', '--locale=C']
  await run(make[0] ?? '', make.slice(1), { cwd: draft })
  const part = await mkdtemp(`${folder}.new-`)
  await run('cp', ['-a', data, join(part, 'data')])
  // Of two at once the first wins, and both are the same.
  await rename(join(part, 'data'), folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
  })
  for (const path of [part, draft]) await rm(path, { recursive: true, force: true })
  return folder
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
