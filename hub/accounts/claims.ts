/** Source `claims`: what the facility's own login provider says of a person, as it said it last. */
import type { Kysely } from 'kysely'
import { z } from 'zod'
import type { ClaimedAccounts, ProviderConfiguration } from '../../config/schema.ts'
import type { Account } from '../../spawners/spawner.ts'
import { Problem } from '../domain/problem.ts'
import { type Claims, parseClaims } from '../identity/claims.ts'
import type { Tables } from '../store/schema.ts'
import type { AccountSource } from './index.ts'
import { plainHome, readId } from './passwd.ts'

export interface ClaimsSourceOptions {
  /** The one that accounts.provider names. */
  readonly provider: ProviderConfiguration
  readonly db: Kysely<Tables>
}

/** Most identities of one person at one provider that are looked at. */
const mostIdentities = 100

export function createClaimsSource(
  configuration: ClaimedAccounts,
  { provider, db }: ClaimsSourceOptions,
): AccountSource {
  return {
    async find(name) {
      const rows = await db
        .selectFrom('identities')
        .innerJoin('users', 'users.id', 'identities.user_id')
        .select('identities.claims')
        .where('users.name', '=', name)
        .where('identities.issuer', '=', provider.issuer)
        .limit(mostIdentities)
        .execute()
      // Who is linked to several identities there is the one that the account is named after.
      const own = rows
        .map(({ claims }) => parseClaims(claims))
        .filter((claims) => lowercase(claims[provider.claims.name]) === name)
      const [claims, ...others] = own
      if (claims === undefined) return undefined
      if (others.length > 0) {
        throw new Problem(
          'launchRefused',
          `${provider.title} knows several people named ${name}, so it is not known which account is yours. Ask your administrator.`,
        )
      }
      return readClaims(claims, name, { configuration, title: provider.title })
    },
  }
}

/** Pure. @throws Problem launchRefused that names the claim which is missing or has another type than it should. */
function readClaims(
  claims: Claims,
  name: string,
  { configuration, title }: { readonly configuration: ClaimedAccounts; readonly title: string },
): Account {
  const { claims: map } = configuration
  const refuse = (claim: string, wanted: string): never => {
    throw new Problem(
      'launchRefused',
      `${title} did not say your account: the claim “${claim}” is missing or is not ${wanted}. Log in again; if it stays so, tell your administrator.`,
    )
  }
  const number = (claim: string): number => idOf(claims[claim]) ?? refuse(claim, 'a number')
  const path = (claim: string, absent: string): string => {
    const value = claims[claim]
    if (value === undefined) return absent
    return typeof value === 'string' ? plainHome(value) : refuse(claim, 'a path')
  }
  const groups = (claim: string | undefined): Account['groups'] => {
    if (claim === undefined || claims[claim] === undefined) return []
    const read = groupsSchema.safeParse(claims[claim])
    return read.success ? read.data : refuse(claim, 'a list of groups (name:gid)')
  }
  const gid = number(map.gid)
  return {
    name,
    uid: number(map.uid),
    gid,
    groups: onceEach(groups(map.groups).filter((group) => group.gid !== gid)),
    home: path(
      map.home,
      configuration.home.replaceAll('{user}', () => name),
    ),
    shell: path(map.shell, configuration.shell),
  }
}

/** Numbers come as text too. Undefined: it is none. */
function idOf(value: unknown): number | undefined {
  const id = typeof value === 'number' ? value : typeof value === 'string' ? readId(value) : Number.NaN
  return Number.isSafeInteger(id) ? id : undefined
}

const idSchema = z.unknown().transform((value, context) => {
  const id = idOf(value)
  if (id !== undefined) return id
  context.addIssue('not a number')
  return z.NEVER
})

const groupsSchema = z
  .array(
    z.union([
      z.object({ name: z.string(), gid: idSchema }),
      z
        .string()
        .regex(/^[^:]+:\d{1,10}$/)
        .transform((text) => {
          const [name = '', gid = ''] = text.split(':')
          return { name, gid: Number(gid) }
        }),
    ]),
  )
  .max(65_536)

function onceEach(groups: Account['groups']): Account['groups'] {
  return [...new Map(groups.map((group) => [group.gid, group])).values()]
}

function lowercase(value: unknown): string | undefined {
  return typeof value === 'string' ? value.toLowerCase() : undefined
}
