/** A PostgreSQL server of a test file's own, on a socket in a private folder, without fsync. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chown, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Client } from 'pg'
import type { Configuration } from '../../config/schema.ts'
import { program } from './component.ts'
import { until } from './until.ts'

export interface Postgresql {
  /** A new, empty database. */
  database(): Promise<Configuration['database']>
  stop(): Promise<void>
}

/** PostgreSQL's programs, as Debian lays them out, or on PATH. */
export async function findPostgresql(): Promise<string | undefined> {
  const versions = await readdir('/usr/lib/postgresql').catch(() => [])
  return program(
    'initdb',
    versions.map((version) => `/usr/lib/postgresql/${version}/bin`),
  )
}

export async function startPostgresql(initdb: string): Promise<Postgresql> {
  const folder = await mkdtemp(join(tmpdir(), 'hutch-pg-'))
  // PostgreSQL does not run as root.
  const account = process.getuid?.() === 0 ? await postgresAccount() : undefined
  if (account) await chown(folder, account.uid, account.gid)
  const data = join(folder, 'data')
  await promisify(execFile)(initdb, ['-D', data, '-U', 'hutch', '-A', 'trust', '--no-sync'], {
    ...account,
    cwd: folder,
  })
  const settings = ['listen_addresses=', `unix_socket_directories=${folder}`, 'fsync=off', 'max_connections=200']
  const server = spawn(
    initdb.replace(/initdb$/, 'postgres'),
    ['-D', data, ...settings.flatMap((setting) => ['-c', setting])],
    { ...account, cwd: folder, stdio: 'ignore' },
  )
  const connection = { host: folder, user: 'hutch' }
  await until('PostgreSQL answers', () => query(connection, 'select 1').catch(() => false), { timeoutMs: 60_000 })
  return {
    async database() {
      const name = `t${randomBytes(8).toString('hex')}`
      await query(connection, `create database ${name}`)
      return { type: 'postgresql', ...connection, port: 5432, database: name, tls: false, poolSize: 5 }
    },
    async stop() {
      await stopped(server)
      await rm(folder, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

async function query(connection: { host: string; user: string }, text: string): Promise<true> {
  const client = new Client({ ...connection, database: 'postgres', connectionTimeoutMillis: 5_000 })
  try {
    await client.connect()
    await client.query(text)
    return true
  } finally {
    await client.end()
  }
}

async function stopped(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return
  // SIGINT is its fast shutdown.
  await new Promise((resolve) => server.once('exit', resolve).kill('SIGINT') || resolve(undefined))
}

async function postgresAccount(): Promise<{ uid: number; gid: number }> {
  const { stdout } = await promisify(execFile)('getent', ['passwd', 'postgres'])
  const [, , uid, gid] = stdout.split(':').map(Number)
  return { uid: uid ?? Number.NaN, gid: gid ?? Number.NaN }
}
