/** Who may use this installation: by what is true now, asked anew at every login, launch and entry. */
import type { Kysely } from 'kysely'
import type { Configuration } from '../../config/schema.ts'
import { Problem } from '../domain/problem.ts'
import type { Catalogue, User } from '../domain/services.ts'
import type { Access } from '../roles/access.ts'
import type { Tables } from '../store/schema.ts'
import { type Claims, parseClaims } from './claims.ts'
import type { Providers } from './providers.ts'
import type { Vouching } from './vouching.ts'

export interface Authorisation {
  /** Throws Problem 'notAuthorised' with the administrator's reason, 'blocked', 'backendUnreachable'. */
  require(user: User, signal: AbortSignal): Promise<void>
}

export interface AuthorisationOptions {
  readonly db: Kysely<Tables>
  readonly configuration: Configuration['access']
  readonly providers: Providers
  readonly vouching: Pick<Vouching, 'of'>
  readonly access: Pick<Access, 'groups'>
  readonly catalogue: Pick<Catalogue, 'proposals' | 'entitled'>
  readonly contact: string
}

type Rule = Configuration['access']['rules'][number]

/** Asked only when a rule needs it, and then once. */
interface Facts {
  readonly user: string
  groups(): Promise<readonly string[]>
  /** Of each identity. */
  claims(): Promise<readonly Claims[]>
  isMember(of: 'any' | readonly string[]): Promise<boolean>
}

export function createAuthorisation(options: AuthorisationOptions): Authorisation {
  const { db, configuration, providers, vouching, access, catalogue, contact } = options

  function factsOf(user: User, signal: AbortSignal): Facts {
    return {
      user: user.name,
      groups: once(async () => {
        const [vouched, kept] = await Promise.all([vouching.of(user.id), access.groups.of(user)])
        return [...(vouched?.groups ?? []), ...kept]
      }),
      claims: once(async () => {
        const query = db.selectFrom('identities').select(['issuer', 'claims']).where('user_id', '=', user.id)
        const rows = await query.execute()
        return rows.filter(({ issuer }) => providers.byIssuer(issuer)).map(({ claims }) => parseClaims(claims))
      }),
      async isMember(of) {
        if (of !== 'any') return (await catalogue.entitled(user, of, signal)).length > 0
        const { total, asOf } = await catalogue.proposals(user, { offset: 0, limit: 1 }, signal)
        // What it said some time ago decides nothing.
        if (asOf !== undefined) {
          const detail =
            'The catalogue of proposals does not answer, so nobody can say whether you are a member of one.'
          throw new Problem('catalogueUnreachable', `${detail} Try again in a minute.`, { retryAfter: 60 })
        }
        return total > 0
      },
    }
  }

  return {
    async require(user, signal) {
      const blocked = await db.selectFrom('users').select('blocked_reason').where('id', '=', user.id).executeTakeFirst()
      const end = `. Ask ${contact}.`
      if (blocked?.blocked_reason) throw new Problem('blocked', blocked.blocked_reason.replace(/[.\s]+$/, '') + end)
      const decided = await decide(configuration, factsOf(user, signal))
      if (decided !== 'allowed') throw new Problem('notAuthorised', decided.reason.replace(/[.\s]+$/, '') + end)
    },
  }
}

/** The first rule that fits. */
async function decide(
  { rules, otherwise, reason }: Configuration['access'],
  facts: Facts,
): Promise<'allowed' | { reason: string }> {
  for (const rule of rules) {
    if (!(await fits(rule, facts))) continue
    return rule.allow ? 'allowed' : { reason: rule.reason ?? reason }
  }
  return otherwise === 'allow' ? 'allowed' : { reason }
}

/** All of its conditions; what costs most is asked last. */
async function fits({ users, groups, claims, proposals }: Rule, facts: Facts): Promise<boolean> {
  if (users !== undefined && !users.includes(facts.user)) return false
  if (groups !== undefined) {
    const own = await facts.groups()
    if (!groups.some((group) => own.includes(group))) return false
  }
  if (claims !== undefined) {
    const own = await facts.claims()
    const has = ([name, values]: [string, string[]]): boolean =>
      own.some((each) => valuesOf(each[name]).some((value) => values.includes(value)))
    if (!Object.entries(claims).every(has)) return false
  }
  return proposals === undefined || (await facts.isMember(proposals))
}

/** A claim that is a text, a yes or no, a number, or a list of such; anything else has no value. */
function valuesOf(claim: unknown): string[] {
  return (Array.isArray(claim) ? claim : [claim])
    .filter((each) => ['string', 'boolean', 'number'].includes(typeof each))
    .map(String)
}

function once<T>(ask: () => Promise<T>): () => Promise<T> {
  let asked: Promise<T> | undefined
  return () => (asked ??= ask())
}
