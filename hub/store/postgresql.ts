/** Kysely over PostgreSQL. Times are int8; they come as numbers, which hold ms since the epoch exactly. */
import { PostgresDialect } from 'kysely'
import pg from 'pg'
import type { Configuration } from '../../config/schema.ts'
import { readSecretFile } from '../../config/secret.ts'
import type { Log } from '../../spawners/spawner.ts'

type PostgresqlConfiguration = Extract<Configuration['database'], { type: 'postgresql' }>

const int8 = 20
const connectTimeoutMs = 5_000
/** No statement of the hub's takes a second; one that takes this long holds others up. */
const statementTimeoutMs = 30_000

export async function postgresqlDialect(configuration: PostgresqlConfiguration, log: Log): Promise<PostgresDialect> {
  const { host, port, database, user, passwordFile, tls, poolSize } = configuration
  const parsers = new pg.TypeOverrides()
  parsers.setTypeParser(int8, Number)
  const pool = new pg.Pool({
    host,
    port,
    database,
    user,
    ...(passwordFile === undefined ? {} : { password: await readSecretFile(passwordFile) }),
    ...(tls ? { ssl: { rejectUnauthorized: true } } : {}),
    max: poolSize,
    connectionTimeoutMillis: connectTimeoutMs,
    statement_timeout: statementTimeoutMs,
    idle_in_transaction_session_timeout: statementTimeoutMs,
    application_name: 'hutch',
    types: parsers,
  })
  // An idle connection that the server closes; the pool makes another.
  pool.on('error', (error) => log.warn({ err: error }, 'a connection to the database was lost'))
  return new PostgresDialect({ pool })
}
