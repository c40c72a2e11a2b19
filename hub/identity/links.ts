/**
 * Which identities are whose. Linked on (issuer, subject), once, by proof (logged in at both), by an administrator, or
 * by the facility's own matching; never by name or e-mail address.
 */
import type { Kysely, Transaction } from 'kysely'
import type { Audit } from '../audit/index.ts'
import type { AuditEntry } from '../audit/entry.ts'
import { Problem } from '../domain/problem.ts'
import type { Tables } from '../store/schema.ts'
import type { Logins } from './logins.ts'
import type { Outsider } from './outsiders.ts'
import { provesAccount, type Providers } from './providers.ts'

/** Who did it, from where. */
export type Actor = Pick<AuditEntry, 'who' | 'from' | 'login' | 'token'>

export interface Link {
  readonly issuer: string
  readonly subject: string
  /** The provider's short name and title; absent: no longer configured. */
  readonly provider?: string
  readonly title?: string
  readonly linkedAt: Date
  readonly linkedBy: string
  readonly legacyHash?: string
  /** Whether its owner may take it off: the account's own, and the last one, stay. */
  readonly removable: boolean
}

export interface Links {
  list(userId: string): Promise<readonly Link[]>
  /**
   * Twice is once. Throws Problem 'conflict' when it is another's already: of two at once, one has it.
   * `linkedBy`: 'proof', 'administrator' or 'match'.
   */
  link(user: Owner, outsider: Outsider, linkedBy: string, actor: Actor): Promise<void>
  /** In a transaction of the caller's; what it gives is called after the commit. */
  insert(trx: Transaction<Tables>, user: Owner, outsider: Outsider, linkedBy: string, actor: Actor): Promise<() => void>
  /** Why a link could not be made, when somebody else was faster. */
  explain(error: unknown, user: Owner, outsider: Outsider): Promise<void>
  /** Ends the logins that came by it, and what they opened. Throws Problem 'notFound', 'conflict'. */
  unlink(user: Owner, link: Pick<Link, 'issuer' | 'subject'>, actor: Actor): Promise<void>
}

interface Owner {
  readonly id: string
  readonly name: string
}

export interface LinksOptions {
  readonly db: Kysely<Tables>
  readonly providers: Providers
  readonly logins: Pick<Logins, 'revokeOf' | 'forgetCached'>
  readonly audit: Pick<Audit, 'within' | 'note'>
  readonly contact: string
  readonly now: () => number
}

export function createLinks({ db, providers, logins, audit, contact, now }: LinksOptions): Links {
  async function insert(
    trx: Transaction<Tables>,
    user: Owner,
    { provider, issuer, subject, legacyHash }: Outsider,
    linkedBy: string,
    actor: Actor,
  ): Promise<() => void> {
    await trx
      .insertInto('identities')
      .values({
        issuer,
        subject,
        user_id: user.id,
        // What it says of itself comes with the first login by it.
        claims: '{}',
        linked_at: now(),
        linked_by: linkedBy,
        legacy_hash: legacyHash ?? null,
      })
      .execute()
    await trx.deleteFrom('link_requests').where('issuer', '=', issuer).where('subject', '=', subject).execute()
    return await audit.within(trx, {
      ...actor,
      did: 'link.made',
      toWhom: user,
      what: subject,
      detail: { provider, issuer, by: linkedBy, ...(legacyHash === undefined ? {} : { legacyHash }) },
    })
  }

  /** Identities are unique in the store: whoever was second finds whose it is now. */
  async function explain(error: unknown, user: Owner, { provider, issuer, subject }: Outsider): Promise<void> {
    const holder = await db
      .selectFrom('identities')
      .select('user_id')
      .where('issuer', '=', issuer)
      .where('subject', '=', subject)
      .executeTakeFirst()
    if (holder === undefined) throw error
    if (holder.user_id === user.id) return
    audit.note({ who: user, did: 'link.refused', what: subject, detail: { provider, reason: 'linked to another' } })
    const { title } = providers.get(provider)
    throw new Problem(
      'conflict',
      `This identity of ${title} was linked to another account a moment ago, or before. If it is yours, ask ${contact}.`,
      { cause: error },
    )
  }

  async function rowsOf(userId: string) {
    return await db
      .selectFrom('identities')
      .select(['issuer', 'subject', 'linked_at', 'linked_by', 'legacy_hash'])
      .where('user_id', '=', userId)
      .orderBy('linked_at')
      .execute()
  }

  async function list(userId: string): Promise<Link[]> {
    const rows = await rowsOf(userId)
    return rows.map(({ issuer, subject, linked_at, linked_by, legacy_hash }) => {
      const provider = providers.byIssuer(issuer)
      return {
        issuer,
        subject,
        ...(provider === undefined ? {} : { provider: provider.name, title: provider.title }),
        linkedAt: new Date(linked_at),
        linkedBy: linked_by,
        ...(legacy_hash === null ? {} : { legacyHash: legacy_hash }),
        removable: rows.length > 1 && !(provider && provesAccount(provider)),
      }
    })
  }

  return {
    list,
    insert,
    explain,
    async link(user, outsider, linkedBy, actor) {
      try {
        const told = await db.transaction().execute((trx) => insert(trx, user, outsider, linkedBy, actor))
        told()
      } catch (error) {
        await explain(error, user, outsider)
      }
      logins.forgetCached()
    },
    async unlink(user, { issuer, subject }, actor) {
      const link = (await list(user.id)).find((each) => each.issuer === issuer && each.subject === subject)
      if (link === undefined) throw new Problem('notFound', 'This identity is not linked any more. Look at the list.')
      if (!link.removable) {
        throw new Problem('conflict', `This identity has to stay: by it you get in. Ask ${contact} if it is not yours.`)
      }
      const told = await db.transaction().execute(async (trx) => {
        const others = await trx
          .deleteFrom('identities')
          .where('issuer', '=', issuer)
          .where('subject', '=', subject)
          .where('user_id', '=', user.id)
          // Two browsers that take off one each must not leave none.
          .where((row) =>
            row.exists(
              row
                .selectFrom('identities as other')
                .select('other.subject')
                .where('other.user_id', '=', user.id)
                .where((other) =>
                  other.or([other('other.issuer', '!=', issuer), other('other.subject', '!=', subject)]),
                ),
            ),
          )
          .executeTakeFirst()
        if (others.numDeletedRows === 0n) throw new Problem('conflict', 'This is your last identity. It has to stay.')
        const provider = link.provider ?? 'a provider that is not configured'
        const detail = { provider, issuer }
        return await audit.within(trx, { ...actor, did: 'link.removed', toWhom: user, what: subject, detail })
      })
      told()
      await logins.revokeOf({ issuer, subject })
    },
  }
}
