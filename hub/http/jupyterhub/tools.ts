/** What the operations share: the services behind them, and the ways to find a user, a server and a page. */
import type { Context } from 'koa'
import { z } from 'zod'
import type { ScopeName } from '../../../config/scopes.ts'
import type { Log } from '../../../spawners/spawner.ts'
import type { Environment } from '../../domain/environment.ts'
import { Problem } from '../../domain/problem.ts'
import type { Environments, Launches, RouteTable } from '../../domain/services.ts'
import type { People, Person } from '../../identity/people.ts'
import type { Tokens } from '../../identity/tokens.ts'
import type { Access } from '../../roles/access.ts'
import type { Permissions } from '../../roles/permissions.ts'
import { serverNameOf, serverOf } from '../../roles/server-name.ts'
import type { ModelOptions } from './models.ts'
import { concerning } from './operation.ts'
import { demand, nothingThere } from './requester.ts'

export interface ApiTools {
  readonly people: People
  readonly access: Access
  readonly tokens: Tokens
  readonly environments: Environments
  readonly launches: Launches
  readonly routes: Pick<RouteTable, 'routes' | 'settled'>
  readonly publicOrigin: string
  /** Where an owner's environments are. */
  readonly originOf: (owner: string) => string
  /** How long ended ones are told of. */
  readonly keepEndedMs: number
  readonly services: Readonly<Record<string, ConfiguredService>>
  readonly now: () => Date
  readonly log: Log
}

interface ConfiguredService {
  readonly url?: string | undefined
  readonly info: Readonly<Record<string, unknown>>
  readonly display: boolean
}

/** The version of JupyterHub whose API this is; clients warn when it is far from theirs. */
export const jupyterHubVersion = '6.1.1'

export function modelOptions(tools: ApiTools, permissions: Permissions): ModelOptions {
  return { permissions, publicOrigin: tools.publicOrigin, originOf: tools.originOf }
}

/** @throws Problem notFound, forbidden */
export async function personFor(
  tools: ApiTools,
  ctx: Context,
  name: string,
  scopes: readonly ScopeName[],
): Promise<Person> {
  const person = await tools.people.find(name)
  const groups = person?.groups ?? []
  demand(ctx, scopes, { kind: 'user', name, groups })
  if (person === undefined) throw nothingThere()
  concerning(ctx, person)
  return person
}

/** The owner of a server, which need not be there. @throws Problem notFound, forbidden */
export async function ownerFor(
  tools: ApiTools,
  ctx: Context,
  name: string,
  server: string,
  scopes: readonly ScopeName[],
): Promise<Person> {
  const person = await tools.people.find(name)
  demand(ctx, scopes, { kind: 'server', user: name, server, groups: person?.groups ?? [] })
  if (person === undefined) throw nothingThere()
  concerning(ctx, person)
  return person
}

/** The live one, else the newest that ended. */
export async function serverOfPerson(tools: ApiTools, person: Person, name: string): Promise<Environment | undefined> {
  const found = await tools.environments.find(person.name, serverOf(name))
  return found?.userId === person.id ? found : undefined
}

const mostEnded = 100

/** Live ones, and on demand the newest ended one of each name. */
export async function serversOf(tools: ApiTools, person: Person, ended: boolean): Promise<readonly Environment[]> {
  if (!ended) return tools.environments.live(person.id)
  const endedSince = new Date(tools.now().getTime() - tools.keepEndedMs)
  const all = await tools.environments.list(person.id, { endedSince, limit: mostEnded })
  const names = new Set<string>()
  return all.filter((each) => {
    const name = serverNameOf(each.server)
    return !names.has(name) && names.add(name)
  })
}

/* Pages */

const paginated = 'application/jupyterhub-pagination+json'
const usualPage = 50
const mostPerPage = 5_000

export const rangeSchema = z.object({
  offset: z.coerce.number().int().min(0).max(1_000_000).default(0),
  limit: z.coerce.number().int().min(1).optional().describe(`At most ${mostPerPage}; more is as much.`),
})

const pageSchema = z.strictObject({
  offset: z.int(),
  limit: z.int(),
  total: z.int(),
  next: z.strictObject({ offset: z.int(), limit: z.int(), url: z.string() }).nullable(),
})

/** Plain, or with `Accept: application/jupyterhub-pagination+json` as a page. */
export const listSchema = (items: z.ZodType): z.ZodType =>
  z.union([items, z.strictObject({ items, _pagination: pageSchema })])

export interface Range {
  readonly offset: number
  readonly limit: number
  readonly paginated: boolean
}

export function rangeOf(ctx: Context, { offset, limit }: z.output<typeof rangeSchema>): Range {
  const asked = ctx.get('Accept').includes(paginated)
  // Whoever does not know of pages takes the first one for all.
  return { offset, limit: Math.min(limit ?? (asked ? usualPage : mostPerPage), mostPerPage), paginated: asked }
}

export function listed(ctx: Context, tools: ApiTools, items: unknown, range: Range, total: number): unknown {
  const { offset, limit } = range
  if (!range.paginated) return items
  const after = offset + limit
  if (after >= total) return { items, _pagination: { offset, limit, total, next: null } }
  const query = new URLSearchParams(ctx.querystring)
  query.set('offset', String(after))
  query.set('limit', String(limit))
  const url = `${tools.publicOrigin}${ctx.path}?${query.toString()}`
  return { items, _pagination: { offset, limit, total, next: { offset: after, limit, url } } }
}

export function conflict(detail: string): Problem {
  return new Problem('conflict', detail)
}
