/** Kysely on Node's own SQLite, through the part of better-sqlite3's interface that Kysely asks for. */
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import { type Dialect, SqliteDialect, type SqliteStatement } from 'kysely'
import { sqliteStateError } from './state-error.ts'

/** Queries that Kysely makes are few in shape; what is beyond this is compiled again. */
const mostStatements = 400

/** @throws StateError when the file can't be opened or is no database of ours. */
export function sqliteDialect(path: string): Dialect {
  const database = stated(path, () => open(path))
  const statements = new Map<string, SqliteStatement>()

  function prepare(sql: string): SqliteStatement {
    const known = statements.get(sql)
    if (known) return known
    const made = adapted(
      stated(path, () => database.prepare(sql)),
      path,
    )
    if (statements.size >= mostStatements) statements.clear()
    statements.set(sql, made)
    return made
  }

  return new SqliteDialect({
    database: {
      prepare,
      close() {
        statements.clear()
        if (database.isOpen) database.close()
      },
    },
  })
}

/**
 * WAL: readers and the writer don't wait for each other. FULL: what a person was told is on the disk, even through a
 * power failure; what comes together shares one commit, and what the loops only note does without (see writer.ts).
 */
function open(path: string): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: 5_000, enableForeignKeyConstraints: true })
  try {
    database.exec('pragma journal_mode = wal; pragma synchronous = full; pragma temp_store = memory')
    database.exec('pragma journal_size_limit = 67108864; pragma cache_size = -8192')
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

function adapted(statement: StatementSync, path: string): SqliteStatement {
  return {
    reader: statement.columns().length > 0,
    all: (parameters) => stated(path, () => statement.all(...(parameters as SQLInputValue[]))),
    run: (parameters) => stated(path, () => statement.run(...(parameters as SQLInputValue[]))),
    iterate: (parameters) => statement.iterate(...(parameters as SQLInputValue[])),
  }
}

function stated<T>(path: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw sqliteStateError(error, path) ?? error
  }
}
