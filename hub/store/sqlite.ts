/** Kysely on Node's own SQLite, through the part of better-sqlite3's interface that Kysely asks for. */
import { closeSync, fdatasync, openSync } from 'node:fs'
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import { promisify } from 'node:util'
import { type Dialect, SqliteDialect, type SqliteStatement } from 'kysely'
import { sqliteStateError, StateError } from './state-error.ts'

/** Queries that Kysely makes are few in shape; what is beyond this is compiled again. */
const mostStatements = 400

export interface OpenedSqlite {
  readonly dialect: Dialect
  /**
   * What synchronous = full does at each commit, without holding up this thread: returns when all that was committed
   * so far is on the disk. Absent where the file system has no write-ahead log: then every commit waits.
   */
  readonly flush?: () => Promise<void>
}

/** @throws StateError when the file can't be opened or is no database of ours. */
export function openSqlite(path: string): OpenedSqlite {
  const database = stated(path, () => open(path))
  const statements = new Map<string, SqliteStatement>()

  function prepare(sql: string): SqliteStatement {
    const known = statements.get(sql)
    if (known) return known
    const plain = adapted(
      stated(path, () => database.prepare(sql)),
      path,
    )
    const made = sql === 'rollback' ? onlyWithin(database, plain) : plain
    if (statements.size >= mostStatements) statements.clear()
    statements.set(sql, made)
    return made
  }

  const log = createLogFile(path)
  const dialect = new SqliteDialect({
    database: {
      prepare,
      close() {
        statements.clear()
        log.close()
        if (database.isOpen) database.close()
      },
    },
  })
  return hasLog(database) ? { dialect, flush: () => log.flush() } : { dialect }
}

/**
 * SQLite's own commit is an fdatasync of the write-ahead log (wal.c, sqlite3WalFrames); any descriptor will do. SQLite
 * holds no lock on this file that closing one could break.
 */
function createLogFile(path: string): { flush(): Promise<void>; close(): void } {
  let file: number | undefined
  return {
    async flush() {
      try {
        file ??= openSync(`${path}-wal`, 'r')
        await promisify(fdatasync)(file)
      } catch (error) {
        throw new StateError(`${path}: the disk reports errors; check it, then start again`, { cause: error })
      }
    },
    close() {
      if (file !== undefined) closeSync(file)
      file = undefined
    },
  }
}

function hasLog(database: DatabaseSync): boolean {
  return database.prepare('pragma journal_mode').get()?.['journal_mode'] === 'wal'
}

/**
 * WAL: readers and the writer don't wait for each other. FULL: what a person was told is on the disk, even through a
 * power failure. What the writer commits waits for the disk beside this thread, together, or not at all (writer.ts).
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

/** A full or failing disk makes SQLite roll back by itself: what is to be told then is that, not a second rollback. */
function onlyWithin(database: DatabaseSync, statement: SqliteStatement): SqliteStatement {
  const none = { changes: 0, lastInsertRowid: 0 }
  return { ...statement, run: (parameters) => (database.isTransaction ? statement.run(parameters) : none) }
}

function stated<T>(path: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw sqliteStateError(error, path) ?? error
  }
}
