/**
 * Mails: queued in the store, sent by one hub, tried again until the mail server takes them. One that was taken in the
 * moment in which the hub died is sent twice, with the same Message-ID.
 */
import type { Kysely, Transaction } from 'kysely'
import type { Log } from '../../spawners/spawner.ts'
import type { Store } from '../store/index.ts'
import type { Lease } from '../store/leases.ts'
import type { MailRow } from '../store/migrations/requests.ts'
import type { Tables } from '../store/schema.ts'
import { createRounds } from '../reconcile/rounds.ts'
import { realTimers, type Timers } from '../reconcile/timers.ts'

export interface Mail {
  /** What it is about and to whom: a second one with this id is not sent. */
  readonly id: string
  readonly to: string | null | undefined
  readonly subject: string
  readonly text: string
}

export interface Notifier {
  /** In the caller's transaction, or by itself. Who has no address gets none. */
  queue(db: Kysely<Tables> | Transaction<Tables>, mails: readonly Mail[]): Promise<void>
  /** Addresses of those who decide. */
  readonly administrators: readonly string[]
  start(): void
  close(): Promise<void>
}

/** Hands it to a mail server. `permanent`: trying again can't help. */
export type Send = (mail: Readonly<{ id: string; to: string; subject: string; text: string }>) => Promise<SendResult>
export type SendResult = Readonly<{ is: 'sent' }> | Readonly<{ is: 'failed'; message: string; permanent: boolean }>

export interface NotifierOptions {
  readonly store: Pick<Store, 'db' | 'leases' | 'type'>
  /** Absent: nothing is queued, and nothing is sent. */
  readonly send?: Send
  readonly administrators: readonly string[]
  /** Names this hub process. */
  readonly holder: string
  readonly now: () => Date
  readonly log: Log
  readonly timers?: Timers
}

const everyMs = 5_000
const leaseMs = 60_000
const mostAtOnce = 20
const firstRetryMs = 30_000
const lastRetryMs = 3_600_000
/** A mail server that is down for a week loses nothing. */
const givenUpAfterMs = 14 * 86_400_000
const keptMs = 30 * 86_400_000
const longestText = 20_000

export function createNotifier(options: NotifierOptions): Notifier {
  const { store, send, administrators, holder, now, log, timers = realTimers } = options
  const { db, leases } = store
  const trouble = 'mails can not be looked for; trying again'
  const rounds = send && createRounds({ round: () => round(send), everyMs, timers, log, trouble })
  let lease: Lease | undefined

  async function leads(): Promise<boolean> {
    if (lease !== undefined && (await leases.renew(lease, leaseMs))) return true
    lease = await leases.take('mail', holder, { ttlMs: leaseMs, evenIfHeld: store.type === 'sqlite' })
    return lease !== undefined
  }

  async function round(handing: Send): Promise<void> {
    if (!(await leads())) return
    const at = now().getTime()
    await db
      .deleteFrom('mails')
      .where('sent_at', '<', at - keptMs)
      .execute()
    const due = await db
      .selectFrom('mails')
      .selectAll()
      .where('sent_at', 'is', null)
      .where('failed_at', 'is', null)
      .where('due_at', '<=', at)
      .orderBy('due_at')
      .limit(mostAtOnce)
      .execute()
    for (const mail of due) if (rounds?.isClosed === false) await deliver(mail, handing)
  }

  async function deliver(mail: MailRow, handing: Send): Promise<void> {
    const { id, recipient: to, subject, body: text } = mail
    const result = await handing({ id, to, subject, text })
    const at = now().getTime()
    const attempts = mail.attempts + 1
    const update = db.updateTable('mails').where('id', '=', id)
    if (result.is === 'sent') return void (await update.set({ sent_at: at, attempts, last_error: null }).execute())
    const isOver = result.permanent || at - mail.created_at > givenUpAfterMs
    const due_at = at + Math.min(lastRetryMs, firstRetryMs * 2 ** Math.min(mail.attempts, 10))
    const last_error = result.message.slice(0, 500)
    await update.set({ attempts, due_at, last_error, failed_at: isOver ? at : null }).execute()
    log.warn({ mail: id, attempts, error: last_error }, isOver ? 'a mail was given up' : 'a mail waits')
  }

  return {
    administrators,
    async queue(within, mails) {
      if (send === undefined) return
      const at = now().getTime()
      for (const { id, to, subject, text } of mails) {
        if (to == null || !isAddress(to)) continue
        const row = { id, recipient: to, subject: oneLine(subject), body: text.slice(0, longestText), created_at: at }
        await within
          .insertInto('mails')
          .values({ ...row, due_at: at, attempts: 0, sent_at: null, failed_at: null, last_error: null })
          .onConflict((conflict) => conflict.column('id').doNothing())
          .execute()
      }
    },
    start: () => rounds?.start(),
    async close() {
      await rounds?.close()
      if (lease !== undefined) await leases.release(lease).catch(() => undefined)
    },
  }
}

/** What providers say is no more than text: one plain address, nothing that could name more. */
function isAddress(text: string): boolean {
  return text.length <= 254 && /^[^\s@<>,;:"()[\]\\]+@[^\s@<>,;:"()[\]\\]+$/.test(text)
}

function oneLine(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cs}]+/gu, ' ').slice(0, 200)
}
