/** The hub's own state can't be read or written: one sentence that says what to do. `cause` is for the log. */
export class StateError extends Error {
  override readonly name = 'StateError'
  /** There is no room for what is to be written; what is read is read. */
  readonly isFull: boolean
  constructor(message: string, options?: ErrorOptions & { isFull?: boolean }) {
    super(message, options)
    this.isFull = options?.isFull ?? false
  }
}

/** What SQLite says (sqlite3.h, primary result codes), in words; undefined: it is a bug of ours. */
export function sqliteStateError(error: unknown, path: string): StateError | undefined {
  const code = (error as { errcode?: number }).errcode
  if (code === undefined) return undefined
  const sentence = sqliteSentences[code % 256]
  return sentence === undefined
    ? undefined
    : new StateError(`${path}: ${sentence}`, { cause: error, isFull: code % 256 === 13 })
}

const sqliteSentences: Readonly<Record<number, string>> = {
  3: 'this account may not open the database; check the owner of the state folder',
  5: 'another process holds the database; stop it first',
  6: 'another process holds the database; stop it first',
  8: 'the database can not be written: its disk or its file is read-only',
  10: 'the disk reports errors; check it, then start again',
  11: 'the database is damaged; restore the state folder from a backup',
  13: 'the disk is full; make room on it',
  14: 'the database can not be opened; check that the state folder is there and writable',
  26: 'this is not a database of Hutch; restore the state folder from a backup',
}

/** What PostgreSQL (SQLSTATE) or the way to it (errno) says, in words; undefined: it is a bug of ours. */
export function postgresStateError(error: unknown, server: string): StateError | undefined {
  const code = (error as { code?: unknown }).code
  if (typeof code !== 'string') return hasTimedOut(error) ? said(server, 'it does not answer', error) : undefined
  const sentence = postgresSentences[code] ?? postgresSentences[code.slice(0, 2)]
  return sentence === undefined ? undefined : said(server, sentence, error)
}

function said(server: string, sentence: string, cause: unknown): StateError {
  const isFull = (cause as { code?: unknown }).code === '53100'
  return new StateError(`PostgreSQL at ${server}: ${sentence}`, { cause, isFull })
}

/** The pool's own errors carry no code. */
function hasTimedOut(error: unknown): boolean {
  return error instanceof Error && /timeout|Connection terminated|not queryable/i.test(error.message)
}

const postgresSentences: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there; start it, or correct database.host and database.port',
  ENOENT: 'there is no such socket; start it, or correct database.host and database.port',
  ENOTFOUND: 'there is no such host; correct database.host',
  EAI_AGAIN: 'its name can not be resolved just now',
  ETIMEDOUT: 'it does not answer',
  ECONNRESET: 'it closed the connection',
  EPIPE: 'it closed the connection',
  '08': 'the connection broke',
  '28': 'it refuses the role; correct database.user and database.passwordFile',
  '3D000': 'there is no such database; create it, or correct database.database',
  '42501': 'the role may not do this; make it the owner of the database',
  '53100': 'its disk is full; make room on it',
  '53300': 'it takes no more connections; raise max_connections or lower database.poolSize',
  '25006': 'it is read-only; connect to the primary server',
  '57P01': 'it is being shut down',
  '57P02': 'it crashed',
  '57P03': 'it is starting or stopping',
}
