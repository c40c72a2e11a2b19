/** What is shared with a user or a group, as JupyterHub has it (docs, "Sharing"). */
import type { Context } from 'koa'
import type { ScopeName } from '../../../config/scopes.ts'
import { serverNameOf } from '../../roles/server-name.ts'
import type { Sharing } from '../../sharing/index.ts'
import { type Operation, operation } from './operation.ts'
import { actorFor, demand, nothingThere } from './requester.ts'
import { pageOf, shareModels, shareModelSchema } from './share-models.ts'
import { pageFor, type Params, type ShareTools } from './share-tools.ts'
import { personFor, rangeSchema } from './tools.ts'

type FindGrantee = (
  ctx: Context,
  params: Params,
  scope: ScopeName,
) => Promise<{ to: { userId: string } | { group: string } }>

export function sharedWithOperations(tools: ShareTools): readonly Operation[] {
  const models = shareModels(tools)

  async function sharedTo(to: Parameters<Sharing['shares']['grantedTo']>[0]) {
    const found = await Promise.all(
      (await tools.sharing.shares.grantedTo(to)).map(async (share) => {
        const environment = await tools.environments.get(share.environment)
        return environment === undefined || environment.state.is === 'ended' ? [] : [{ share, environment }]
      }),
    )
    return found.flat()
  }

  /** What is shared straight with somebody; they may leave. */
  function sharedWith(path: string, read: ScopeName, change: ScopeName, find: FindGrantee): readonly Operation[] {
    const one = async (ctx: Context, params: Params, scope: ScopeName) => {
      const { to } = await find(ctx, params, scope)
      const found = (await sharedTo(to)).find(
        ({ environment }) =>
          environment.owner === params['owner'] &&
          serverNameOf(environment.server) === serverNameOf(params['server'] ?? ''),
      )
      if (found === undefined) throw nothingThere()
      return found
    }
    return [
      operation({
        method: 'GET',
        path,
        summary: 'What is shared with them',
        scopes: [read],
        query: rangeSchema,
        answers: { 200: { description: 'Shares', schema: pageOf(shareModelSchema) } },
        async handle({ ctx, params, query }) {
          const { to } = await find(ctx, params, read)
          const shares = (await sharedTo(to)).map(({ share, environment }) => models.share(share, environment))
          return { status: 200, body: pageFor(tools, ctx, query, shares) }
        },
      }),
      operation({
        method: 'GET',
        path: `${path}/{owner}/{server}`,
        summary: 'One server that is shared with them',
        scopes: [read],
        answers: { 200: { description: 'The share', schema: shareModelSchema } },
        async handle({ ctx, params }) {
          const { share, environment } = await one(ctx, params, read)
          return { status: 200, body: models.share(share, environment) }
        },
      }),
      operation({
        method: 'DELETE',
        path: `${path}/{owner}/{server}`,
        summary: 'Leaves a server that is shared with them',
        scopes: [change],
        answers: { 204: { description: 'Left', schema: null } },
        async handle({ ctx, params }) {
          const { share, environment } = await one(ctx, params, change)
          await tools.sharing.shares.end(environment, share.id, actorFor(ctx))
          return { status: 204 }
        },
      }),
    ]
  }

  return [
    ...sharedWith('/users/{name}/shared', 'read:users:shares', 'users:shares', async (ctx, params, scope) => {
      const { id } = await personFor(tools, ctx, params['name'] ?? '', [scope])
      return { to: { userId: id } }
    }),
    ...sharedWith('/groups/{group}/shared', 'read:groups:shares', 'groups:shares', (ctx, params, scope) => {
      const name = params['group'] ?? ''
      demand(ctx, [scope], { kind: 'group', name })
      return Promise.resolve({ to: { group: name } })
    }),
  ]
}
