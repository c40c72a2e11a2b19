/** /shares: who shares a server, as JupyterHub has it (docs, "Sharing"). */
import type { Context } from 'koa'
import { z } from 'zod'
import type { Environment } from '../../domain/environment.ts'
import { Problem } from '../../domain/problem.ts'
import { possibleVisitor } from '../visitor.ts'
import { type Operation, operation } from './operation.ts'
import { actorFor } from './requester.ts'
import { pageOf, roleOf, shareModels, shareModelSchema, wantedShape } from './share-models.ts'
import { liveOf, pageFor, type ShareTools } from './share-tools.ts'
import { personFor, rangeSchema } from './tools.ts'

const whom = { user: z.string().max(64).optional(), group: z.string().max(255).optional() }
const shareSchema = z.strictObject({ ...whom, ...wantedShape })
const revokeSchema = z.strictObject({ ...whom, scopes: z.array(z.string()).optional() })
const secondMs = 1_000

export function shareOperations(tools: ShareTools): readonly Operation[] {
  const models = shareModels(tools)

  async function sharesOf(environments: readonly Environment[]) {
    const all = await Promise.all(
      environments.map(async (each) => (await tools.sharing.shares.of(each)).map((share) => models.share(share, each))),
    )
    return all.flat()
  }

  async function granteeOf(ctx: Context, { user, group }: { user?: string | undefined; group?: string | undefined }) {
    if ((user === undefined) === (group === undefined)) {
      throw new Problem('badRequest', 'Name either a user or a group, and not both.', { field: 'user' })
    }
    const groups = possibleVisitor(ctx)?.groups ?? []
    return user === undefined
      ? await tools.grantees.find('group', group ?? '', { groups })
      : await tools.grantees.find('user', user, { groups })
  }

  const expiryOf = (seconds: number | null | undefined): { expiresAt?: Date } =>
    seconds == null ? {} : { expiresAt: new Date(tools.now().getTime() + seconds * secondMs) }

  const lists = [
    operation({
      method: 'GET',
      path: '/shares/{owner}',
      summary: "Who shares a user's servers",
      scopes: ['read:shares'],
      query: rangeSchema,
      answers: { 200: { description: 'Shares', schema: pageOf(shareModelSchema) } },
      async handle({ ctx, params, query }) {
        const person = await personFor(tools, ctx, params['owner'] ?? '', ['read:shares'])
        return { status: 200, body: pageFor(tools, ctx, query, await sharesOf(tools.environments.live(person.id))) }
      },
    }),
    operation({
      method: 'GET',
      path: '/shares/{owner}/{server}',
      summary: 'Who shares a server',
      scopes: ['read:shares'],
      query: rangeSchema,
      answers: { 200: { description: 'Shares', schema: pageOf(shareModelSchema) } },
      async handle({ ctx, params, query }) {
        const environment = await liveOf(tools, ctx, params, 'read:shares')
        return { status: 200, body: pageFor(tools, ctx, query, await sharesOf([environment])) }
      },
    }),
  ]

  /** The default server's name is empty, and then the path ends in a slash. */
  const changes = (path: string): readonly Operation[] => [
    operation({
      method: 'POST',
      path,
      summary: 'Shares a server with a user or a group',
      scopes: ['shares'],
      body: shareSchema,
      answers: { 200: { description: 'The share', schema: shareModelSchema } },
      async handle({ ctx, params, body }) {
        const environment = await liveOf(tools, ctx, params, 'shares')
        const role = roleOf(body, environment)
        tools.sharing.requireOpen(environment)
        const to = await granteeOf(ctx, body)
        const wanted = { with: to, role, ...expiryOf(body.expires_in) }
        const share = await tools.sharing.shares.grant(environment, wanted, actorFor(ctx))
        return { status: 200, body: models.share(share, environment) }
      },
    }),
    operation({
      method: 'PATCH',
      path,
      summary: 'Ends what a server is shared with a user or a group; whatever is open by it closes within a second',
      scopes: ['shares'],
      body: revokeSchema,
      answers: { 200: { description: 'Nothing is left of it', schema: z.strictObject({}) } },
      async handle({ ctx, params, body }) {
        const environment = await liveOf(tools, ctx, params, 'shares')
        const to = await granteeOf(ctx, body)
        const share = (await tools.sharing.shares.of(environment)).find(
          ({ with: one }) => one.kind === to.kind && one.name === to.name,
        )
        if (share !== undefined) await tools.sharing.shares.end(environment, share.id, actorFor(ctx))
        return { status: 200, body: {} }
      },
    }),
    operation({
      method: 'DELETE',
      path,
      summary: 'Ends all that a server is shared',
      scopes: ['shares'],
      answers: { 204: { description: 'Ended', schema: null } },
      async handle({ ctx, params }) {
        await tools.sharing.shares.endAll(await liveOf(tools, ctx, params, 'shares'), actorFor(ctx))
        return { status: 204 }
      },
    }),
  ]

  return [...lists, ...changes('/shares/{owner}/'), ...changes('/shares/{owner}/{server}')]
}
