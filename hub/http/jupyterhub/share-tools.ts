/** What the routes of shares have in common. */
import type { Context } from 'koa'
import type { z } from 'zod'
import type { ScopeName } from '../../../config/scopes.ts'
import type { Environment } from '../../domain/environment.ts'
import { Problem } from '../../domain/problem.ts'
import { serverNameOf } from '../../roles/server-name.ts'
import type { Grantees } from '../../sharing/grantees.ts'
import type { Sharing } from '../../sharing/index.ts'
import { type ApiTools, listed, ownerFor, rangeOf, type rangeSchema, serverOfPerson } from './tools.ts'

export interface ShareTools extends ApiTools {
  readonly sharing: Pick<Sharing, 'shares' | 'codes' | 'requireOpen'>
  readonly grantees: Grantees
}

/** Of a path. */
export type Params = Readonly<Record<string, string>>

/** The server that a path names, for whom its scope allows. @throws Problem 'notFound' when it does not run. */
export async function liveOf(tools: ApiTools, ctx: Context, params: Params, scope: ScopeName): Promise<Environment> {
  const { owner: name = '', server = '' } = params
  const person = await ownerFor(tools, ctx, name, serverNameOf(server), [scope])
  const environment = await serverOfPerson(tools, person, serverNameOf(server))
  if (environment === undefined || environment.state.is === 'ended') {
    throw new Problem('notFound', `${name} has no server of this name that runs. What does not run can not be shared.`)
  }
  return environment
}

/** A page of all, always as JupyterHub's shares have it. */
export function pageFor(
  tools: ApiTools,
  ctx: Context,
  query: z.output<typeof rangeSchema>,
  models: readonly unknown[],
) {
  const range = { ...rangeOf(ctx, query), paginated: true }
  return listed(ctx, tools, models.slice(range.offset, range.offset + range.limit), range, models.length)
}
