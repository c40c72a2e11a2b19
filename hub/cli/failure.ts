/** Any error → one line for the terminal and the exit code (as in sysexits.h where there is one). Never a stack trace. */
import { ConfigurationError } from '../../config/mistake.ts'
import { Problem } from '../domain/problem.ts'
import { StateFolderTaken } from '../setup/lock.ts'
import { StateFolderError } from '../setup/state-folder.ts'
import { StateError } from '../store/state-error.ts'
import { ProxyFailed } from '../supervise/proxy.ts'
import { UsageError } from './arguments.ts'

export const exitCodes = {
  ok: 0,
  failure: 1,
  usage: 2,
  unavailable: 69,
  cannotCreate: 73,
  inputOutput: 74,
  configuration: 78,
} as const

export interface Explanation {
  /** For configurations: one line for each mistake. */
  readonly line: string
  readonly exitCode: number
}

export function explain(error: unknown): Explanation {
  for (const cause of chain(error)) {
    const known = ours(cause) ?? bySystemCode(cause) ?? bySqliteCode(cause)
    if (known !== undefined) return known
  }
  return { line: `hutch: ${firstLine(error)}`, exitCode: exitCodes.failure }
}

function ours(error: Error): Explanation | undefined {
  if (error instanceof ConfigurationError) return { line: error.message, exitCode: exitCodes.configuration }
  if (error instanceof UsageError) return said(error.message, exitCodes.usage)
  if (error instanceof StateFolderError) return said(error.message, error.exitCode)
  if (error instanceof StateFolderTaken) return said(error.message, exitCodes.unavailable)
  // The hub wrote its configuration: what keeps it from starting is outside, such as a port that is taken.
  if (error instanceof ProxyFailed)
    return said(firstLine(error).replace(/^hutch(-proxy)?: /, ''), exitCodes.unavailable)
  if (error instanceof StateError) return said(firstLine(error), codeOfState(error))
  if (error instanceof Problem) return said(error.detail, exitCodes.failure)
  return undefined
}

/** The store has the words already; what SQLite said has the code. A server that does not answer has none. */
function codeOfState({ cause }: StateError): number {
  return (cause instanceof Error ? bySqliteCode(cause)?.exitCode : undefined) ?? exitCodes.unavailable
}

interface SystemError extends Error {
  readonly code?: string
  readonly syscall?: string
  readonly path?: string
  readonly address?: string
  readonly port?: number
}

function bySystemCode(error: SystemError): Explanation | undefined {
  const where = error.port === undefined ? error.address : `${error.address ?? ''}:${error.port}`
  const path = error.path === undefined ? '' : ` (${error.path})`
  switch (error.code) {
    case 'EADDRINUSE':
      return said(`${where} is taken: stop what listens there, or choose another address with --listen`, 69)
    case 'EADDRNOTAVAIL':
      return said(`${where} is not an address of this machine; choose another with --listen`, 69)
    case 'ENOSPC':
    case 'EDQUOT':
      return said(`the disk is full${path}; make room on it`, 74)
    case 'EIO':
      return said(`the disk fails${path}; look at the system's log`, 74)
    case 'EROFS':
      return said(`the disk is read-only${path}; choose another state folder with --state`, 73)
    case 'EACCES':
    case 'EPERM':
      if (error.syscall === 'listen')
        return said(`this account may not listen on ${where}; choose a port above 1023`, 69)
      return said(`this account may not use a file that it needs${path}`, 73)
    case 'EMFILE':
    case 'ENFILE':
      return said('too many files are open; raise the limit (ulimit -n)', 69)
    case 'ECONNREFUSED':
      return said(`nothing answers at ${where ?? 'the address'}${path}; is it running?`, 69)
    case undefined:
    default:
      return undefined
  }
}

/** node:sqlite: `errcode` is SQLite's (extended) result code. */
function bySqliteCode(error: Error): Explanation | undefined {
  if ((error as { code?: unknown }).code !== 'ERR_SQLITE_ERROR') return undefined
  const primary = ((error as { errcode?: number }).errcode ?? 0) % 256
  switch (primary) {
    case 5:
    case 6:
      return said('the database is in use by another process; is another hub running?', 69)
    case 8:
      return said('the database is read-only; look at the rights of the state folder', 73)
    case 10:
      return said("the disk of the database fails; look at the system's log", 74)
    case 11:
    case 26:
      return said('the database is damaged; restore it from a backup', 74)
    case 13:
      return said('the disk is full, the database can not be written; make room on it', 74)
    case 14:
      return said('the database can not be opened; look at the rights of the state folder', 73)
    default:
      return undefined
  }
}

function said(line: string, exitCode: number): Explanation {
  return { line: `hutch: ${line}`, exitCode }
}

const deepest = 8

/** The error and what caused it, outermost first; of several at once, the first. */
function* chain(error: unknown): Generator<Error> {
  let current = error
  for (let depth = 0; depth < deepest && current instanceof Error; depth += 1) {
    yield current
    current = current instanceof AggregateError ? current.errors[0] : current.cause
  }
}

function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error)
  return text.split('\n', 1)[0]?.slice(0, 500) ?? ''
}
