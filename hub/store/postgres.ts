/** Kysely on PostgreSQL: a bounded pool with deadlines, and bigint as a number (our integers are below 2^53). */
import { type Dialect, PostgresDialect } from 'kysely'
import { Client, type ClientConfig, Pool, TypeOverrides } from 'pg'
import type { Configuration } from '../../config/schema.ts'
import { readSecretFile } from '../../config/secret.ts'
import type { Log } from '../../spawners/spawner.ts'
import { postgresStateError, StateError } from './state-error.ts'

export type PostgresConfiguration = Extract<Configuration['database'], { type: 'postgresql' }>

export interface Postgres {
  readonly dialect: Dialect
  /** For LISTEN: one connection of its own, not from the pool. */
  readonly connect: () => Promise<Client>
}

const connectTimeoutMs = 5_000
const statementTimeoutMs = 15_000
const int8 = 20

export async function openPostgres(database: PostgresConfiguration, log: Log): Promise<Postgres> {
  const { host, port, user, tls } = database
  const server = host.startsWith('/') ? `${host}/.s.PGSQL.${port}` : `${host}:${port}`
  const password = database.passwordFile === undefined ? {} : { password: await readPassword(database.passwordFile) }
  const parsers = new TypeOverrides()
  parsers.setTypeParser(int8, Number)
  const options: ClientConfig = {
    host,
    port,
    user,
    database: database.database,
    ...password,
    ssl: tls ? { rejectUnauthorized: true } : false,
    application_name: 'hutch',
    connectionTimeoutMillis: connectTimeoutMs,
    statement_timeout: statementTimeoutMs,
    lock_timeout: statementTimeoutMs,
    idle_in_transaction_session_timeout: statementTimeoutMs,
    query_timeout: statementTimeoutMs + 5_000,
    keepAlive: true,
    types: parsers,
  }
  const pool = new Pool({ ...options, max: database.poolSize, idleTimeoutMillis: 30_000 })
  // An idle connection that breaks is taken out of the pool; the next query opens another. Said below, for all.
  pool.on('error', () => undefined)
  pool.on('connect', (client) => {
    // The pool listens to idle ones only: the break of one in use would end the process. Only the message is logged,
    // because the pool hangs the whole connection on the error.
    client.on('error', ({ message }) => log.warn({ reason: message }, `a connection to PostgreSQL at ${server} broke`))
    const query = client.query.bind(client) as (...input: unknown[]) => Promise<unknown>
    const inWords = (...input: unknown[]): Promise<unknown> => stated(server, () => query(...input))
    Object.assign(client, { query: inWords })
  })
  return {
    dialect: new PostgresDialect({
      pool: {
        options: pool.options,
        connect: () => stated(server, () => pool.connect()),
        end: () => pool.end(),
      },
    }),
    async connect() {
      const client = new Client({ ...options, statement_timeout: 0, query_timeout: 0 })
      await stated(server, () => client.connect())
      return client
    },
  }
}

async function stated<T>(server: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw postgresStateError(error, server) ?? error
  }
}

async function readPassword(file: string): Promise<string> {
  try {
    return await readSecretFile(file)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new StateError(`database.passwordFile: ${reason}`, { cause: error })
  }
}
