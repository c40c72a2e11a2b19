/**
 * Whether people may still use what runs for them: asked again and again while it runs, of the catalogue and of the
 * rules of access. Who may not any more is warned; after a grace it is stopped. Who can't be told about stays as they are.
 */
import type { Kysely } from 'kysely'
import { isEnvironmentId, type EndReason, type EnvironmentId, type Log } from '../../spawners/spawner.ts'
import type { Unentitled } from '../domain/environment.ts'
import { Problem } from '../domain/problem.ts'
import type { Catalogue, User } from '../domain/services.ts'
import type { Authorisation } from '../identity/authorisation.ts'
import { userOf } from '../identity/users.ts'
import type { Notifier } from '../notify/index.ts'
import type { Tables } from '../store/schema.ts'
import { formatMoment } from '../domain/format.ts'
import { unentitledText } from '../web/ending.ts'

export interface EntitlementOptions {
  readonly db: Kysely<Tables>
  readonly catalogue: Pick<Catalogue, 'entitled'>
  readonly authorisation: Pick<Authorisation, 'require'>
  readonly notifier: Pick<Notifier, 'queue'>
  /** Written where all hubs see it; undefined: they may have it again. */
  readonly mark: (id: EnvironmentId, unentitled: Unentitled | undefined) => Promise<void>
  readonly stop: (id: EnvironmentId, reason: EndReason, message?: string) => Promise<void>
  readonly publicUrl: URL
  /** Between two questions about one person. */
  readonly everyMs: number
  readonly graceMs: number
  readonly now: () => Date
  readonly log: Log
}

export interface Entitlement {
  /** Looks at those whose turn it is. Never rejects because of one person. */
  round(): Promise<void>
}

const askTimeoutMs = 20_000
/** In one round; the rest comes with the next. */
const mostAtOnce = 50

type Row = Awaited<ReturnType<typeof rowsOf>>[number]

export function createEntitlement(options: EntitlementOptions): Entitlement {
  const { db, catalogue, authorisation, notifier, mark, stop, publicUrl, everyMs, graceMs, now, log } = options
  const askedAt = new Map<string, number>()

  /** Proposals that are theirs no more; 'all': the whole installation. Undefined: nobody can tell now. */
  async function lostBy(user: User, ids: readonly string[]): Promise<ReadonlySet<string> | 'all' | undefined> {
    const signal = AbortSignal.timeout(askTimeoutMs)
    try {
      await authorisation.require(user, signal)
      if (ids.length === 0) return new Set()
      const entitled = new Set((await catalogue.entitled(user, ids, signal)).map(({ id }) => id))
      return new Set(ids.filter((id) => !entitled.has(id)))
    } catch (error) {
      if (error instanceof Problem && error.status < 500) return 'all'
      log.warn({ user: user.name, err: error }, 'whether somebody may still use what runs can not be told')
      return undefined
    }
  }

  async function look(rows: readonly Row[]): Promise<void> {
    const [first] = rows
    if (first === undefined) return
    const user = userOf({ ...first, id: first.user_id, title: first.user_title })
    const ids = [...new Set(rows.flatMap(proposalsOf))]
    const lost = await lostBy(user, ids)
    if (lost === undefined) return
    for (const row of rows) {
      const gone = lost === 'all' ? [] : proposalsOf(row).filter((id) => lost.has(id))
      if (lost === 'all' || gone.length > 0) await lose(row, gone)
      else if (row.unentitled !== null && isEnvironmentId(row.id)) await mark(row.id, undefined)
    }
  }

  async function lose(row: Row, proposals: readonly string[]): Promise<void> {
    if (!isEnvironmentId(row.id)) return
    const known = row.unentitled === null ? undefined : (JSON.parse(row.unentitled) as Unentitled)
    const at = now().getTime()
    if (known !== undefined && at >= known.until) {
      await stop(row.id, 'cancelled', `It was stopped. ${unentitledText(proposals)} Saved files stay.`)
      log.info({ environment: row.id, proposals }, 'an environment is stopped: its owner may not have it any more')
      return
    }
    if (known !== undefined) return
    const until = at + graceMs
    await mark(row.id, { since: at, until, proposals })
    const when = formatMoment(new Date(until))
    const page = new URL(`/hub/environments/${row.id}/time`, publicUrl).href
    const text = `${unentitledText(proposals)} “${row.title}” is stopped at ${when}. Save what you need by then; if this is a mistake, ask the principal investigator, or the user office.\n\n${page}\n`
    const mail = { id: `entitlement ${row.id} ${at}`, to: row.email, subject: `“${row.title}” ends at ${when}`, text }
    await notifier.queue(db, [mail])
  }

  return {
    async round() {
      const at = now().getTime()
      const byUser = Map.groupBy(await rowsOf(db), ({ user_id }) => user_id)
      for (const id of askedAt.keys()) if (!byUser.has(id)) askedAt.delete(id)
      const due = [...byUser].filter(([id, rows]) => {
        const isOver = rows.some(({ unentitled }) => unentitled !== null && JSON.parse(unentitled).until <= at)
        return isOver || at - (askedAt.get(id) ?? -Infinity) >= everyMs
      })
      for (const [id, rows] of due.slice(0, mostAtOnce)) {
        askedAt.set(id, at)
        await look(rows)
      }
    },
  }
}

function proposalsOf({ proposals }: Pick<Row, 'proposals'>): readonly string[] {
  return JSON.parse(proposals) as string[]
}

function rowsOf(db: Kysely<Tables>) {
  return db
    .selectFrom('environments')
    .innerJoin('users', 'users.id', 'environments.user_id')
    .select(['environments.id', 'user_id', 'environments.title', 'proposals', 'unentitled'])
    .select(['users.name', 'users.title as user_title', 'users.email', 'users.admin', 'users.blocked_reason'])
    .where('ended_at', 'is', null)
    .where('wanted', '=', 'present')
    .execute()
}
