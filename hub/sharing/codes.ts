/** Links that share: whoever is logged in and follows one gets a share of their own. Shown once, kept as hashes. */
import type { Audit } from '../audit/index.ts'
import type { AuditedActor } from '../audit/entry.ts'
import type { Environment } from '../domain/environment.ts'
import { Problem } from '../domain/problem.ts'
import type { User } from '../domain/services.ts'
import { hashSecret, newSecret } from '../identity/secrets.ts'
import type { Store } from '../store/index.ts'
import type { ShareCodeRow } from '../store/migrations/sharing.ts'
import { type EnvironmentId, isEnvironmentId } from '../../spawners/spawner.ts'
import { requireRole, type ShareRole } from './share.ts'
import type { Shares } from './shares.ts'

export interface ShareCode {
  readonly id: string
  readonly environment: EnvironmentId
  readonly role: ShareRole
  readonly createdAt: Date
  readonly expiresAt: Date
  /** How often it was followed. */
  readonly uses: number
  readonly usedAt?: Date
}

export interface ShareCodes {
  /** `code` is shown once and kept nowhere. Throws Problem 'badRequest', 'conflict'. */
  create(
    environment: Environment,
    wanted: { readonly role: ShareRole; readonly expiresAt: Date },
    actor: AuditedActor,
  ): Promise<ShareCode & { readonly code: string }>
  list(environment: Pick<Environment, 'id'>): Promise<readonly ShareCode[]>
  /** Undefined: there is none of this. What it led to before stays. */
  find(code: string): Promise<ShareCode | undefined>
  /** By id or by code; neither: all of the environment. Shares that they made stay. Twice is once. */
  end(
    environment: Pick<Environment, 'id'>,
    which: { readonly id?: string; readonly code?: string },
    actor: AuditedActor,
  ): Promise<number>
  /** The share that it makes; the code's own role, with no end of its own. */
  accept(code: ShareCode, environment: Environment, user: User, actor: AuditedActor): Promise<void>
}

export interface ShareCodesOptions {
  readonly store: Pick<Store, 'db' | 'writer'>
  readonly audit: Pick<Audit, 'write'>
  readonly shares: Pick<Shares, 'grant' | 'openTo'>
  readonly now: () => Date
  readonly newId: () => string
}

const mostCodes = 20
const longestMs = 30 * 86_400_000

export function createShareCodes({ store, audit, shares, now, newId }: ShareCodesOptions): ShareCodes {
  const { db, writer } = store

  const living = () => db.selectFrom('share_codes').selectAll().where('expires_at', '>', now().getTime())

  return {
    async create(environment, { role, expiresAt }, actor) {
      requireRole(role, environment.spec)
      const at = now().getTime()
      if (expiresAt.getTime() <= at || expiresAt.getTime() > at + longestMs) {
        throw new Problem('badRequest', 'expires: must be to come, and within 30 days.', { field: 'expires' })
      }
      const code = newSecret()
      const row = {
        id: newId(),
        code_hash: hashSecret(code),
        environment_id: environment.id,
        owner_id: environment.userId,
        role,
        created_at: at,
        expires_at: expiresAt.getTime(),
        uses: 0,
        used_at: null,
      }
      await writer.write(`environment ${environment.id}`, async (trx) => {
        const known = await trx
          .selectFrom('share_codes')
          .select('id')
          .where('environment_id', '=', environment.id)
          .where('expires_at', '>', at)
          .limit(mostCodes)
          .execute()
        if (known.length >= mostCodes) {
          throw new Problem('conflict', `There are ${mostCodes} links already. End those that are not needed.`)
        }
        await trx.insertInto('share_codes').values(row).execute()
      })
      const detail = { code: row.id, role, until: expiresAt.toISOString() }
      await audit.write({ ...actor, did: 'share.link-made', what: environment.id, detail })
      return { ...readCode(row), code }
    },
    async list({ id }) {
      const rows = await living().where('environment_id', '=', id).orderBy('created_at').execute()
      return rows.map(readCode)
    },
    async find(code) {
      const row = await living().where('code_hash', '=', hashSecret(code)).executeTakeFirst()
      return row && readCode(row)
    },
    async end(environment, { id, code }, actor) {
      let query = db.deleteFrom('share_codes').where('environment_id', '=', environment.id)
      if (id !== undefined) query = query.where('id', '=', id)
      if (code !== undefined) query = query.where('code_hash', '=', hashSecret(code))
      const ended = await query.returning('id').execute()
      for (const each of ended) {
        await audit.write({ ...actor, did: 'share.link-ended', what: environment.id, detail: { code: each.id } })
      }
      return ended.length
    },
    async accept({ id, role }, environment, user, actor) {
      const used = await db
        .updateTable('share_codes')
        .set((code) => ({ uses: code('uses', '+', 1), used_at: now().getTime() }))
        .where('id', '=', id)
        .where('expires_at', '>', now().getTime())
        .executeTakeFirst()
      if (used.numUpdatedRows === 0n) throw noSuchCode()
      // A link never takes away what somebody has.
      const open = await shares.openTo({ user, groups: [] })
      if (open.some((share) => share.environment === environment.id && (share.role === 'guest' || role === 'viewer'))) {
        return
      }
      await shares.grant(environment, { with: { kind: 'user', ...user }, role }, actor)
    },
  }
}

export function noSuchCode(): Problem {
  return new Problem('notFound', 'This link leads nowhere, or does so no more. Ask whoever sent it for a new one.')
}

function readCode(row: ShareCodeRow): ShareCode {
  if (!isEnvironmentId(row.environment_id)) throw new Error(`the store holds a link to ${row.environment_id}`)
  return {
    id: row.id,
    environment: row.environment_id,
    role: row.role === 'viewer' ? 'viewer' : 'guest',
    createdAt: new Date(row.created_at),
    expiresAt: new Date(row.expires_at),
    uses: row.uses,
    ...(row.used_at === null ? {} : { usedAt: new Date(row.used_at) }),
  }
}
