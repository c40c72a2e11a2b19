/** /shares, /share-codes and what is shared with users and groups, as JupyterHub has them (docs, "Sharing"). */
import type { Context } from 'koa'
import { z } from 'zod'
import type { ScopeName } from '../../../config/scopes.ts'
import type { Environment } from '../../domain/environment.ts'
import { Problem } from '../../domain/problem.ts'
import type { Person } from '../../identity/people.ts'
import { serverNameOf } from '../../roles/server-name.ts'
import type { ShareCode } from '../../sharing/codes.ts'
import type { Grantees } from '../../sharing/grantees.ts'
import type { Sharing } from '../../sharing/index.ts'
import { canBeViewed, type Share, type ShareRole } from '../../sharing/share.ts'
import { type Operation, operation } from './operation.ts'
import { actorFor, demand, nothingThere } from './requester.ts'
import { possibleVisitor } from '../visitor.ts'
import { type ApiTools, listed, ownerFor, personFor, rangeOf, rangeSchema, serverOfPerson } from './tools.ts'

export interface ShareTools {
  readonly sharing: Pick<Sharing, 'shares' | 'codes' | 'requireOpen'>
  readonly grantees: Grantees
}

const sharedServerSchema = z.strictObject({
  user: z.strictObject({ name: z.string() }),
  name: z.string(),
  url: z.string(),
  full_url: z.string(),
  ready: z.boolean(),
})

const shareModelSchema = z.strictObject({
  server: sharedServerSchema,
  scopes: z.array(z.string()),
  kind: z.enum(['user', 'group']),
  user: z.strictObject({ name: z.string() }).nullable(),
  group: z.strictObject({ name: z.string() }).nullable(),
  created_at: z.iso.datetime(),
  expires_at: z.iso.datetime().nullable().describe('Null: as long as the server. Ours.'),
  role: z.enum(['guest', 'viewer']).describe('guest: acts as the owner. viewer: may only look. Ours.'),
})

const codeModelSchema = z.strictObject({
  server: sharedServerSchema,
  scopes: z.array(z.string()),
  role: z.enum(['guest', 'viewer']),
  id: z.string(),
  created_at: z.iso.datetime(),
  expires_at: z.iso.datetime(),
  exchange_count: z.int(),
  last_exchanged_at: z.iso.datetime().nullable(),
  code: z.string().optional().describe('Only in the answer to its creation.'),
  accept_url: z.string().optional(),
  full_accept_url: z.string().optional(),
})

const pageOf = (items: z.ZodType): z.ZodType =>
  z.strictObject({ items: z.array(items), _pagination: z.looseObject({ total: z.int() }) })

const wantedShape = {
  scopes: z.array(z.string().max(600)).max(20).optional(),
  role: z.enum(['guest', 'viewer']).optional(),
  expires_in: z.number().int().positive().max(31_536_000).nullish().describe('Seconds.'),
}

const whom = { user: z.string().max(64).optional(), group: z.string().max(255).optional() }
const shareSchema = z.strictObject({ ...whom, ...wantedShape })
const revokeSchema = z.strictObject({ ...whom, scopes: z.array(z.string()).optional() })
const codeQuerySchema = z.object({ id: z.string().max(80).optional(), code: z.string().max(120).optional() })

const secondMs = 1_000
const usualCodeSeconds = 86_400

export function shareOperations(tools: ApiTools & ShareTools): readonly Operation[] {
  const serverModel = (environment: Environment) => ({
    user: { name: environment.owner },
    name: serverNameOf(environment.server),
    url: environment.spec.prefix,
    full_url: tools.originOf(environment.owner) + environment.spec.prefix,
    ready: environment.state.is === 'ready',
  })

  const shareModel = (share: Share, environment: Environment) => ({
    server: serverModel(environment),
    scopes: scopesOf(share.role, environment),
    kind: share.with.kind,
    user: share.with.kind === 'user' ? { name: share.with.name } : null,
    group: share.with.kind === 'group' ? { name: share.with.name } : null,
    created_at: share.createdAt.toISOString(),
    expires_at: share.expiresAt?.toISOString() ?? null,
    role: share.role,
  })

  const codeModel = (code: ShareCode, environment: Environment) => ({
    server: serverModel(environment),
    scopes: scopesOf(code.role, environment),
    role: code.role,
    id: code.id,
    created_at: code.createdAt.toISOString(),
    expires_at: code.expiresAt.toISOString(),
    exchange_count: code.uses,
    last_exchanged_at: code.usedAt?.toISOString() ?? null,
  })

  async function liveOf(ctx: Context, params: Params, scope: ScopeName): Promise<Environment> {
    const { owner: name = '', server = '' } = params
    const person = await ownerFor(tools, ctx, name, serverNameOf(server), [scope])
    const environment = await serverOfPerson(tools, person, serverNameOf(server))
    if (environment === undefined || environment.state.is === 'ended') {
      throw new Problem(
        'notFound',
        `${name} has no server of this name that runs. What does not run can not be shared.`,
      )
    }
    return environment
  }

  /** A page of all, always as JupyterHub's shares have it. */
  function pageFor(ctx: Context, query: z.output<typeof rangeSchema>, models: readonly unknown[]) {
    const range = { ...rangeOf(ctx, query), paginated: true }
    return listed(ctx, tools, models.slice(range.offset, range.offset + range.limit), range, models.length)
  }

  async function sharesOf(environments: readonly Environment[]) {
    const all = await Promise.all(
      environments.map(async (each) => (await tools.sharing.shares.of(each)).map((share) => shareModel(share, each))),
    )
    return all.flat()
  }

  async function sharedTo(to: Parameters<Sharing['shares']['grantedTo']>[0]) {
    const found = await Promise.all(
      (await tools.sharing.shares.grantedTo(to)).map(async (share) => {
        const environment = await tools.environments.get(share.environment)
        return environment === undefined || environment.state.is === 'ended' ? [] : [{ share, environment }]
      }),
    )
    return found.flat()
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
        return { status: 200, body: pageFor(ctx, query, await sharesOf(tools.environments.live(person.id))) }
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
        const environment = await liveOf(ctx, params, 'read:shares')
        return { status: 200, body: pageFor(ctx, query, await sharesOf([environment])) }
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
        const environment = await liveOf(ctx, params, 'shares')
        const role = roleOf(body, environment)
        tools.sharing.requireOpen(environment)
        const to = await granteeOf(ctx, body)
        const wanted = { with: to, role, ...expiryOf(body.expires_in) }
        const share = await tools.sharing.shares.grant(environment, wanted, actorFor(ctx))
        return { status: 200, body: shareModel(share, environment) }
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
        const environment = await liveOf(ctx, params, 'shares')
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
        await tools.sharing.shares.endAll(await liveOf(ctx, params, 'shares'), actorFor(ctx))
        return { status: 204 }
      },
    }),
  ]

  const codeOperations = (path: string): readonly Operation[] => [
    operation({
      method: 'GET',
      path,
      summary: 'Links that share a server; their codes are not told again',
      scopes: ['read:shares'],
      query: rangeSchema,
      answers: { 200: { description: 'Codes', schema: pageOf(codeModelSchema) } },
      async handle({ ctx, params, query }) {
        const environment = await liveOf(ctx, params, 'read:shares')
        const models = (await tools.sharing.codes.list(environment)).map((code) => codeModel(code, environment))
        return { status: 200, body: pageFor(ctx, query, models) }
      },
    }),
    operation({
      method: 'POST',
      path,
      summary: 'Makes a link that shares a server with whoever follows it and is logged in',
      scopes: ['shares'],
      body: z.strictObject(wantedShape),
      answers: { 200: { description: 'The code', schema: codeModelSchema } },
      async handle({ ctx, params, body }) {
        const environment = await liveOf(ctx, params, 'shares')
        const role = roleOf(body, environment)
        tools.sharing.requireOpen(environment)
        const expiresAt = new Date(tools.now().getTime() + (body.expires_in ?? usualCodeSeconds) * secondMs)
        const made = await tools.sharing.codes.create(environment, { role, expiresAt }, actorFor(ctx))
        const path = `/hub/accept-share?code=${made.code}`
        return {
          status: 200,
          body: {
            ...codeModel(made, environment),
            code: made.code,
            accept_url: path,
            full_accept_url: tools.publicOrigin + path,
          },
        }
      },
    }),
    operation({
      method: 'DELETE',
      path,
      summary: 'Ends a link, by ?id= or ?code=, or all of a server; what they shared stays',
      scopes: ['shares'],
      query: codeQuerySchema,
      answers: { 204: { description: 'Ended', schema: null } },
      async handle({ ctx, params, query: { id, code } }) {
        const environment = await liveOf(ctx, params, 'shares')
        const which = { ...(id === undefined ? {} : { id }), ...(code === undefined ? {} : { code }) }
        const ended = await tools.sharing.codes.end(environment, which, actorFor(ctx))
        if (ended === 0 && Object.keys(which).length > 0) throw nothingThere()
        return { status: 204 }
      },
    }),
  ]

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
          const models = (await sharedTo(to)).map(({ share, environment }) => shareModel(share, environment))
          return { status: 200, body: pageFor(ctx, query, models) }
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
          return { status: 200, body: shareModel(share, environment) }
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
    ...lists,
    ...changes('/shares/{owner}/'),
    ...changes('/shares/{owner}/{server}'),
    ...codeOperations('/share-codes/{owner}/'),
    ...codeOperations('/share-codes/{owner}/{server}'),
    ...sharedWith('/users/{name}/shared', 'read:users:shares', 'users:shares', async (ctx, params, scope) => {
      const { id }: Person = await personFor(tools, ctx, params['name'] ?? '', [scope])
      return { to: { userId: id } }
    }),
    ...sharedWith('/groups/{group}/shared', 'read:groups:shares', 'groups:shares', (ctx, params, scope) => {
      const name = params['group'] ?? ''
      demand(ctx, [scope], { kind: 'group', name })
      return Promise.resolve({ to: { group: name } })
    }),
  ]
}

type Params = Readonly<Record<string, string>>
type FindGrantee = (
  ctx: Context,
  params: Params,
  scope: ScopeName,
) => Promise<{ to: { userId: string } | { group: string } }>

/** In JupyterHub's words: who may enter may use; who may only look can read that it is there. */
function scopesOf(role: ShareRole, { owner, server }: Environment): string[] {
  const scope = role === 'guest' ? 'access:servers' : 'read:servers'
  return [`${scope}!server=${owner}/${serverNameOf(server)}`]
}

/** From `role`, or from scopes as JupyterHub's clients send them; without either: use. @throws Problem 'badRequest' */
function roleOf(
  body: { role?: ShareRole | undefined; scopes?: string[] | undefined },
  environment: Environment,
): ShareRole {
  const { role, scopes = [] } = body
  const known = { guest: scopesOf('guest', environment)[0], viewer: scopesOf('viewer', environment)[0] }
  for (const scope of scopes) {
    const [name = '', filter] = scope.split('!', 2)
    const whole =
      filter === undefined ? `${name}!server=${environment.owner}/${serverNameOf(environment.server)}` : scope
    if (whole === known.guest || whole === known.viewer) continue
    const detail = `scopes: ${scope.slice(0, 100)} can not be shared; only access:servers, or read:servers to look, of this server.`
    throw new Problem('badRequest', detail, { field: 'scopes' })
  }
  if (role !== undefined) return role
  if (scopes.length === 0 || scopes.some((scope) => scope.startsWith('access:servers'))) return 'guest'
  return canBeViewed(environment.spec) ? 'viewer' : refuseView()
}

function refuseView(): never {
  throw new Problem('badRequest', 'scopes: this application can only be shared for use: access:servers.', {
    field: 'scopes',
  })
}
