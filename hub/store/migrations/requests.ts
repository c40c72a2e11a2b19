/** The tables of requests for more, and of mails that are to be sent: their shapes, and the step that makes them. */
import type { Kysely, Selectable } from 'kysely'

export interface RequestTables {
  limit_requests: LimitRequestsTable
  mails: MailsTable
}

interface LimitRequestsTable {
  id: string
  user_id: string
  /** JSON: a limit as it would be written (hub/quota/document.ts). */
  wanted: string
  reason: string
  created_at: number
  /** 'open' | 'granted' | 'refused' | 'withdrawn' */
  state: string
  decided_at: number | null
  decided_by: string | null
  answer: string
}

interface MailsTable {
  /** What it is about and to whom: it is queued once. */
  id: string
  recipient: string
  subject: string
  body: string
  created_at: number
  /** Not before then. */
  due_at: number
  attempts: number
  sent_at: number | null
  /** When it was given up. */
  failed_at: number | null
  last_error: string | null
}

export type LimitRequestRow = Selectable<LimitRequestsTable>
export type MailRow = Selectable<MailsTable>

export async function requestsStep(db: Kysely<unknown>): Promise<void> {
  let requests = db.schema.createTable('limit_requests').addColumn('id', 'text', (column) => column.primaryKey())
  for (const name of ['user_id', 'wanted', 'reason', 'state', 'answer']) {
    requests = requests.addColumn(name, 'text', (column) => column.notNull())
  }
  await requests
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('decided_at', 'bigint')
    .addColumn('decided_by', 'text')
    .execute()
  await db.schema.createIndex('limit_requests_user').on('limit_requests').columns(['user_id', 'created_at']).execute()
  await db.schema.createIndex('limit_requests_state').on('limit_requests').columns(['state', 'created_at']).execute()
  let mails = db.schema.createTable('mails').addColumn('id', 'text', (column) => column.primaryKey())
  for (const name of ['recipient', 'subject', 'body'])
    mails = mails.addColumn(name, 'text', (column) => column.notNull())
  for (const name of ['created_at', 'due_at']) mails = mails.addColumn(name, 'bigint', (column) => column.notNull())
  await mails
    .addColumn('attempts', 'integer', (column) => column.notNull())
    .addColumn('sent_at', 'bigint')
    .addColumn('failed_at', 'bigint')
    .addColumn('last_error', 'text')
    .execute()
  await db.schema.createIndex('mails_due').on('mails').columns(['sent_at', 'due_at']).execute()
}
