/** Requests for more: asked with a reason, decided by an administrator, with an end. */
import { type AuditedActor } from '../audit/entry.ts'
import type { Audit } from '../audit/index.ts'
import { Problem } from '../domain/problem.ts'
import type { Notifier } from '../notify/index.ts'
import type { Store } from '../store/index.ts'
import type { LimitRequestRow } from '../store/migrations/requests.ts'
import { limitLine, readLimit, writeLimit } from './document.ts'
import type { NewLimit } from './limits.ts'
import type { Quota } from './index.ts'
import { mostText, titleOf } from './words.ts'

interface LimitRequest {
  readonly id: string
  readonly user: string
  readonly title: string
  readonly reason: string
  readonly state: 'open' | 'granted' | 'refused' | 'withdrawn'
  readonly until: Date
  readonly createdAt: Date
  readonly answer: string
}

export interface Requests {
  /** `wanted`: limit, most, of, per, until. @throws Problem badRequest, conflict */
  ask(user: { id: string; name: string }, wanted: object, reason: unknown, actor: AuditedActor): Promise<void>
  /** Newest first. `userId` absent: everybody's open ones. */
  list(userId?: string): Promise<readonly LimitRequest[]>
  /** @throws Problem notFound, conflict when it was decided already */
  decide(id: string, decision: Decision, actor: AuditedActor): Promise<void>
}

type Decision = Readonly<{ grant: boolean; answer: string }>

const mostOpen = 10
const mostListed = 200
const longestMs = 400 * 86_400_000

export function createRequests(options: {
  store: Pick<Store, 'db' | 'writer'>
  quota: Pick<Quota, 'addLimit'>
  notifier: Pick<Notifier, 'queue' | 'administrators'>
  audit: Pick<Audit, 'write'>
  publicUrl: URL
  now: () => Date
  newId: () => string
}): Requests {
  const { store, quota, notifier, audit, publicUrl, now, newId } = options
  const { db, writer } = store

  function read(userName: string, wanted: object): NewLimit & { until: number } {
    const limit = readLimit({ ...wanted, for: `user:${userName}` }, 'request')
    const { until } = limit
    const at = now().getTime()
    if (until === undefined || until <= at || until > at + longestMs) {
      throw new Problem('badRequest', 'until: is missing: the last day that you need it, a year ahead at most.', {
        field: 'until',
      })
    }
    return { ...limit, until }
  }

  return {
    async ask(user, wanted, reason, actor) {
      const limit = read(user.name, wanted)
      const text = typeof reason === 'string' ? reason.trim() : ''
      if (text === '' || text.length > 2_000) {
        throw new Problem('badRequest', 'reason: is missing: say in a sentence or two what it is for.', {
          field: 'reason',
        })
      }
      const id = newId()
      await writer.write(`user ${user.id}`, async (trx) => {
        const open = await trx
          .selectFrom('limit_requests')
          .select('id')
          .where('user_id', '=', user.id)
          .where('state', '=', 'open')
          .limit(mostOpen)
          .execute()
        if (open.length >= mostOpen) {
          throw new Problem('conflict', `You have ${mostOpen} requests that wait. Wait for an answer first.`)
        }
        const row = { id, user_id: user.id, wanted: JSON.stringify(writeLimit(limit)), reason: text, answer: '' }
        await trx
          .insertInto('limit_requests')
          .values({ ...row, created_at: now().getTime(), state: 'open', decided_at: null, decided_by: null })
          .execute()
        await notifier.queue(
          trx,
          notifier.administrators.map((to) => ({
            id: `request ${id} ${to}`,
            to,
            subject: `${user.name} asks for ${wordsOf(limit)}`,
            text: `${user.name} asks for: ${wordsOf(limit)}, until ${dayOf(limit.until)}.\n\n${text}\n\nDecide: ${page('/hub/admin/limits')}\n`,
          })),
        )
      })
      await audit.write({ ...actor, did: 'limit.asked', what: id, detail: { limit: limitLine(limit) } })
    },

    async list(userId) {
      let query = db
        .selectFrom('limit_requests')
        .innerJoin('users', 'users.id', 'limit_requests.user_id')
        .selectAll('limit_requests')
        .select('users.name')
      query = userId === undefined ? query.where('state', '=', 'open') : query.where('user_id', '=', userId)
      return (await query.orderBy('limit_requests.created_at', 'desc').limit(mostListed).execute()).map(requestOf)
    },

    async decide(id, { grant, answer }, actor) {
      const name = typeof actor.who === 'string' ? actor.who : actor.who.name
      const limit = await writer.write(`request ${id}`, async (trx) => {
        const row = await trx
          .selectFrom('limit_requests')
          .innerJoin('users', 'users.id', 'limit_requests.user_id')
          .selectAll('limit_requests')
          .select(['users.name', 'users.email'])
          .where('limit_requests.id', '=', id)
          .executeTakeFirst()
        if (row === undefined) throw new Problem('notFound', 'There is no such request. Look at the list again.')
        const decided = await trx
          .updateTable('limit_requests')
          .set({ state: grant ? 'granted' : 'refused', decided_at: now().getTime(), decided_by: name, answer })
          .where('id', '=', id)
          .where('state', '=', 'open')
          .executeTakeFirst()
        if (decided.numUpdatedRows === 0n) throw new Problem('conflict', 'This request was decided already.')
        const wanted = readLimit(JSON.parse(row.wanted), `request ${id}`)
        const verdict = grant ? 'granted' : 'refused'
        const said = answer === '' ? '' : `\n\n${name} says: ${answer}`
        const mail = `Your request for ${wordsOf(wanted)} was ${verdict}.${said}\n\n${page('/hub/usage')}\n`
        await notifier.queue(trx, [
          { id: `decision ${id}`, to: row.email, subject: `Your request was ${verdict}`, text: mail },
        ])
        return wanted
      })
      if (grant) await quota.addLimit({ ...limit, note: 'asked for by the user' }, actor)
      await audit.write({ ...actor, did: grant ? 'limit.granted' : 'limit.refused', what: id })
    },
  }

  function page(path: string): string {
    return new URL(path, publicUrl).href
  }
}

function requestOf(row: LimitRequestRow & { name: string }): LimitRequest {
  const limit = readLimit(JSON.parse(row.wanted), 'request')
  return {
    id: row.id,
    user: row.name,
    title: wordsOf(limit),
    reason: row.reason,
    state: row.state as LimitRequest['state'],
    until: new Date(limit.until ?? row.created_at),
    createdAt: new Date(row.created_at),
    answer: row.answer,
  }
}

function wordsOf(limit: NewLimit): string {
  return `${titleOf(limit)}: ${mostText(limit, limit.most)}`
}

function dayOf(at: number): string {
  return new Date(at).toISOString().slice(0, 10)
}
