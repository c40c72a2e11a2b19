/** The audit trail: append-only in the store, told on to syslog, kept as long as the configuration says. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Transaction } from 'kysely'
import type { Configuration } from '../../config/schema.ts'
import type { Log } from '../../spawners/spawner.ts'
import type { Store } from '../store/index.ts'
import { prepared } from '../store/prepared.ts'
import type { Tables } from '../store/schema.ts'
import { type AuditEntry, type AuditLine, lineOf, rowOf } from './entry.ts'
import { forget } from './retention.ts'
import { createSyslog, type Syslog } from './syslog.ts'

export interface Audit {
  /** Returns when it is committed. What is done to a person's rights waits for it. */
  write(entry: AuditEntry): Promise<void>
  /** In the caller's transaction. What it gives is called after the commit. */
  within(trx: Transaction<Tables>, entry: AuditEntry): Promise<() => void>
  /** For refusals and what else needs no certainty: a failure is logged. */
  note(entry: AuditEntry): void
  /** Deletes what is older than the configuration keeps; returns how many lines. */
  retain(): Promise<number>
  /** Retention, now and every hour, until close(). */
  start(): void
  close(): Promise<void>
}

export interface AuditOptions {
  readonly store: Pick<Store, 'db' | 'writer'>
  readonly configuration: Configuration['audit']
  readonly now: () => Date
  readonly log: Log
}

const retainEveryMs = 3_600_000

const insertLine = prepared((db, row: ReturnType<typeof rowOf>) => db.insertInto('audit').values(row).returningAll())

export function createAudit({ store, configuration, now, log }: AuditOptions): Audit {
  const { db, writer } = store
  const syslog: Syslog | undefined = configuration.syslog && createSyslog(configuration.syslog, log)
  const closing = new AbortController()
  let retaining: Promise<void> | undefined

  async function insert(trx: Transaction<Tables>, entry: AuditEntry): Promise<AuditLine> {
    const [row] = (await insertLine(trx, rowOf(entry, now()))).rows
    if (row === undefined) throw new Error('the audit trail did not take a line')
    return lineOf(row)
  }

  async function write(entry: AuditEntry): Promise<void> {
    await writer.note(
      'audit',
      (trx) => insert(trx, entry),
      (line) => syslog?.send(line),
    )
  }

  async function retain(): Promise<number> {
    return await forget(db, configuration, now())
  }

  async function keepRetaining(): Promise<void> {
    while (!closing.signal.aborted) {
      await retain().catch((error: unknown) => log.warn({ err: error }, 'old lines of the audit trail are still there'))
      await sleep(retainEveryMs, undefined, { signal: closing.signal, ref: false }).catch(() => undefined)
    }
  }

  return {
    write,
    async within(trx, entry) {
      const line = await insert(trx, entry)
      return () => syslog?.send(line)
    },
    note(entry) {
      write(entry).catch((error: unknown) => log.error({ err: error, did: entry.did }, 'the audit trail lacks a line'))
    },
    retain,
    start() {
      retaining ??= keepRetaining()
    },
    async close() {
      closing.abort()
      await retaining
      await syslog?.close()
    },
  }
}
