/** What another hub on the same PostgreSQL changed, by LISTEN and NOTIFY. With SQLite there is no other hub. */
import { setTimeout as sleep } from 'node:timers/promises'
import { sql, type Transaction } from 'kysely'
import type { Client } from 'pg'
import { z } from 'zod'
import type { Log } from '../../spawners/spawner.ts'
import type { Tables } from './schema.ts'

export type Change =
  | Readonly<{ of: 'environments'; ids: readonly string[] }>
  | Readonly<{ of: 'revocations' }>
  | Readonly<{ of: 'orphans'; spawner: string }>
  /** The connection was gone: anything may have changed. */
  | Readonly<{ of: 'everything' }>

export interface Changes {
  /** Within the transaction: others hear of it when it is committed. */
  tell(trx: Transaction<Tables>, changes: readonly Change[]): Promise<void>
  /** Returns when it listens. Own changes are not heard. */
  follow(heard: (change: Change) => void): Promise<void>
  close(): Promise<void>
}

const channel = 'hutch'
/** NOTIFY takes 8,000 bytes; an id has at most 30. */
const mostIds = 200
const pingEveryMs = 20_000
const retryMs = 1_000

export const noChanges: Changes = {
  tell: () => Promise.resolve(),
  follow: () => Promise.resolve(),
  close: () => Promise.resolve(),
}

const messageSchema = z.object({
  by: z.string(),
  change: z.discriminatedUnion('of', [
    z.object({ of: z.literal('environments'), ids: z.array(z.string()) }),
    z.object({ of: z.literal('revocations') }),
    z.object({ of: z.literal('orphans'), spawner: z.string() }),
    z.object({ of: z.literal('everything') }),
  ]),
})

/** `by` tells this hub's own messages from the others'. */
export function postgresChanges(connect: () => Promise<Client>, by: string, log: Log): Changes {
  const closing = new AbortController()
  let client: Client | undefined
  let following: Promise<void> | undefined

  async function listen(heard: (change: Change) => void): Promise<Client> {
    const made = await connect()
    made.on('notification', ({ payload }) => {
      const message = read(payload)
      if (message === undefined)
        log.warn({ payload: payload?.slice(0, 200) }, 'a notice of another hub is not understood')
      else if (message.by !== by) heard(message.change)
    })
    made.on('error', (error) => log.warn({ err: error }, 'the connection that hears of other hubs broke'))
    await made.query(`listen ${channel}`)
    return made
  }

  /** Until it breaks. A dead peer says nothing, so it is asked. */
  async function watch(current: Client): Promise<void> {
    const ended = new AbortController()
    current.once('end', () => ended.abort())
    const signal = AbortSignal.any([ended.signal, closing.signal])
    while (!signal.aborted) {
      await sleep(pingEveryMs, undefined, { signal }).catch(() => undefined)
      if (signal.aborted) return
      const answered = current.query('select 1').then(
        () => true,
        () => false,
      )
      if (!(await Promise.race([answered, sleep(pingEveryMs, false, { ref: false })]))) return
    }
  }

  async function keepFollowing(heard: (change: Change) => void): Promise<void> {
    while (!closing.signal.aborted) {
      if (client) await watch(client)
      await client?.end().catch(() => undefined)
      client = undefined
      if (closing.signal.aborted) return
      client = await listen(heard).catch((error: unknown) => {
        log.warn({ err: error }, 'other hubs can not be heard; trying again')
        return undefined
      })
      if (client) heard({ of: 'everything' })
      else await sleep(retryMs, undefined, { signal: closing.signal }).catch(() => undefined)
    }
  }

  return {
    async tell(trx, changes) {
      for (const part of merged(changes)) {
        const payload = JSON.stringify({ by, change: part })
        await sql`select pg_notify(${channel}, ${payload})`.execute(trx)
      }
    },
    async follow(heard) {
      client = await listen(heard)
      following = keepFollowing(heard)
    },
    async close() {
      closing.abort()
      await following
    },
  }
}

/** Few messages for many changes. */
function merged(changes: readonly Change[]): Change[] {
  const ids = [...new Set(changes.flatMap((change) => (change.of === 'environments' ? change.ids : [])))]
  const made: Change[] = changes.filter((change) => change.of !== 'environments')
  for (let first = 0; first < ids.length; first += mostIds) {
    made.push({ of: 'environments', ids: ids.slice(first, first + mostIds) })
  }
  return made
}

function read(payload: string | undefined): z.infer<typeof messageSchema> | undefined {
  try {
    return messageSchema.parse(JSON.parse(payload ?? ''))
  } catch {
    return undefined // not ours, or of a newer release
  }
}
