/** /user, /users and what is said of a user. */
import { z } from 'zod'
import type { Environment } from '../../domain/environment.ts'
import { Problem } from '../../domain/problem.ts'
import { type Person, userNamePattern } from '../../identity/people.ts'
import { identifying } from '../../roles/expand.ts'
import { allows, permissionsOf, scopesOf, union } from '../../roles/permissions.ts'
import { serverOf } from '../../roles/server-name.ts'
import { possibleVisitor, serviceOf } from '../visitor.ts'
import { serviceModel, serviceModelSchema } from './services.ts'
import { userModel, userModelSchema } from './models.ts'
import { concerning, type Operation, operation } from './operation.ts'
import { demand, requesterOf } from './requester.ts'
import {
  type ApiTools,
  conflict,
  listed,
  listSchema,
  modelOptions,
  personFor,
  rangeOf,
  rangeSchema,
  serversOf,
} from './tools.ts'

const identitySchema = z.union([
  userModelSchema.extend({
    scopes: z.array(z.string()).describe('Expanded.'),
    session_id: z.string().nullable(),
    token_id: z.string().nullable(),
  }),
  serviceModelSchema.extend({ scopes: z.array(z.string()), session_id: z.null(), token_id: z.null() }),
])

const nameSchema = z
  .string()
  .transform((name) => name.toLowerCase())
  .refine((name) => userNamePattern.test(name), 'must be letters, digits and ._-, a letter first, at most 64')

const mostCreated = 5_000

const stateSchema = z.object({
  ...rangeSchema.shape,
  state: z.enum(['active', 'ready', 'inactive']).optional().describe('Only users with (without) servers that run.'),
  name_filter: z.string().max(64).optional().describe('A part of the name.'),
  sort: z.enum(['id', '-id', 'name', '-name', 'last_activity', '-last_activity']).default('id'),
  include_stopped_servers: z.string().optional(),
})

const newUserSchema = z.strictObject({ admin: z.boolean().default(false) })

const activitySchema = z.strictObject({
  last_activity: z.iso.datetime({ offset: true, local: true }).optional(),
  servers: z
    .record(z.string(), z.strictObject({ last_activity: z.iso.datetime({ offset: true, local: true }) }))
    .default({})
    .refine((servers) => Object.keys(servers).length <= 100, 'must have at most 100 servers'),
})

export function userOperations(tools: ApiTools): readonly Operation[] {
  const { people, access, environments } = tools
  const modelOf = (person: Person, servers: readonly Environment[], permissions: Parameters<typeof modelOptions>[1]) =>
    userModel(person, servers, modelOptions(tools, permissions))

  /** Only administrators make others: whoever may change users could make themselves anything. */
  function mayGrantAdmin(permissions: Parameters<typeof modelOptions>[1]): void {
    const role = access.roles.get('admin')?.scopes ?? []
    if (
      role.every(
        (scope) =>
          scope === 'admin-ui' || [...permissionsOf([scope]).keys()].every((each) => allows(permissions, each)),
      )
    )
      return
    throw new Problem('forbidden', 'Only administrators make others administrators.', { field: 'admin' })
  }

  return [
    operation({
      method: 'GET',
      path: '/user',
      summary: 'Whose token or login this is, and what it allows',
      answers: { 200: { description: 'A user or a service', schema: identitySchema } },
      async handle({ ctx }) {
        const { permissions } = requesterOf(ctx)
        const scopes = scopesOf(permissions)
        const service = serviceOf(ctx)
        if (service !== undefined) {
          const own = union([permissions, permissionsOf(identifying({ kind: 'service', name: service.name }))])
          const model = serviceModel(service.name, tools, own)
          return { status: 200, body: { ...model, scopes, session_id: null, token_id: null } }
        }
        const visitor = possibleVisitor(ctx)
        const person = visitor && (await people.find(visitor.user.name))
        if (!visitor || !person) throw new Problem('forbidden', 'Your user does not exist any more. Log in again.')
        const own = union([permissions, permissionsOf(identifying({ kind: 'user', name: person.name }))])
        const body = {
          ...modelOf(person, environments.live(person.id), own),
          scopes,
          session_id: visitor.client?.session ?? null,
          token_id: visitor.by === 'token' ? visitor.login : null,
        }
        return { status: 200, body }
      },
    }),

    operation({
      method: 'GET',
      path: '/users',
      summary: 'Users, a page of them or all',
      scopes: ['list:users'],
      query: stateSchema,
      answers: { 200: { description: 'Users', schema: listSchema(z.array(userModelSchema)) } },
      async handle({ ctx, query }) {
        const { permissions } = requesterOf(ctx)
        if (!allows(permissions, 'list:users')) demandSome(ctx)
        const range = rangeOf(ctx, query)
        const live = byUser(environments.live(), query.state === 'ready')
        const ids = [...live.keys()]
        const filter = {
          ...(query.state === 'inactive' ? { withoutIds: ids } : query.state === undefined ? {} : { ids }),
          ...(query.name_filter === undefined ? {} : { nameContains: query.name_filter }),
          sort: query.sort.replace('-', '') as 'id' | 'name' | 'last_activity',
          descending: query.sort.startsWith('-'),
        }
        const fits = allows(permissions, 'list:users')
          ? undefined
          : ({ name, groups }: Person) => allows(permissions, 'list:users', { kind: 'user', name, groups })
        const all = query.state === 'ready' ? byUser(environments.live(), false) : live
        const { items, total } = await people.page(filter, range, fits)
        const models = items.flatMap((person) => modelOf(person, all.get(person.id) ?? [], permissions) ?? [])
        return { status: 200, body: listed(ctx, tools, models, range, total) }
      },
    }),

    operation({
      method: 'POST',
      path: '/users',
      summary: 'Creates users; those that are there already stay as they are',
      did: 'user.created',
      scopes: ['admin:users'],
      body: z.strictObject({
        usernames: z.array(nameSchema).min(1).max(mostCreated),
        admin: z.boolean().default(false),
      }),
      answers: { 201: { description: 'Those that are new', schema: z.array(userModelSchema) } },
      async handle({ ctx, body }) {
        const { permissions } = demand(ctx, ['admin:users'])
        if (body.admin) mayGrantAdmin(permissions)
        const created = await people.create([...new Set(body.usernames)])
        if (created.length === 0) throw conflict('All of these users are there already.')
        if (body.admin) for (const { name } of created) await access.members.give('admin', 'user', name)
        const models = created.flatMap((each) => modelOf(asAdmin(each, body.admin), [], permissions) ?? [])
        const names = created.map(({ name }) => name)
        return { status: 201, body: models, detail: { count: names.length, names, admin: body.admin } }
      },
    }),

    operation({
      method: 'GET',
      path: '/users/{name}',
      summary: 'A user',
      scopes: [
        'read:users',
        'read:users:name',
        'read:servers',
        'read:users:groups',
        'read:users:activity',
        'read:roles:users',
      ],
      query: z.object({ include_stopped_servers: z.string().optional() }),
      answers: { 200: { description: 'The user', schema: userModelSchema } },
      async handle({ ctx, params, query }) {
        const person = await personFor(tools, ctx, params['name'] ?? '', [
          'read:users',
          'read:users:name',
          'read:servers',
          'read:users:groups',
          'read:users:activity',
          'read:roles:users',
        ])
        const stopped =
          query.include_stopped_servers !== undefined && !/^(?:0|false)$/i.test(query.include_stopped_servers)
        const servers = await serversOf(tools, person, stopped)
        return { status: 200, body: modelOf(person, servers, requesterOf(ctx).permissions) }
      },
    }),

    operation({
      method: 'POST',
      path: '/users/{name}',
      summary: 'Creates a user',
      did: 'user.created',
      scopes: ['admin:users'],
      body: newUserSchema,
      answers: { 201: { description: 'The user', schema: userModelSchema } },
      async handle({ ctx, params, body }) {
        const { permissions } = demand(ctx, ['admin:users'])
        const name = nameSchema.safeParse(params['name'])
        if (!name.success)
          throw new Problem('badRequest', `name: ${name.error.issues[0]?.message ?? ''}.`, { field: 'name' })
        if (body.admin) mayGrantAdmin(permissions)
        const [made] = await people.create([name.data])
        if (made === undefined) throw conflict(`The user ${name.data} is there already.`)
        if (body.admin) await access.members.give('admin', 'user', made.name)
        concerning(ctx, made)
        return { status: 201, body: modelOf(asAdmin(made, body.admin), [], permissions), detail: { admin: body.admin } }
      },
    }),

    operation({
      method: 'PATCH',
      path: '/users/{name}',
      summary: 'Makes a user an administrator, or no longer one',
      did: 'user.changed',
      scopes: ['admin:users'],
      body: z.strictObject({ name: z.string().optional(), admin: z.boolean().optional() }),
      answers: { 200: { description: 'The user', schema: userModelSchema } },
      async handle({ ctx, params, body }) {
        const person = await personFor(tools, ctx, params['name'] ?? '', ['admin:users'])
        const { permissions } = requesterOf(ctx)
        if (body.name !== undefined && body.name !== person.name) {
          throw conflict('A name is the account’s, and part of addresses and paths: it stays. Create a new user.')
        }
        if (body.admin !== undefined && body.admin !== person.admin) {
          mayGrantAdmin(permissions)
          await access.members[body.admin ? 'give' : 'take']('admin', 'user', person.name)
        }
        const changed = (await people.find(person.name)) ?? person
        if (body.admin === false && changed.admin) {
          throw conflict(`${person.name} is an administrator by the configuration. Change it there.`)
        }
        const model = modelOf(changed, environments.live(person.id), permissions)
        return { status: 200, body: model, detail: { admin: changed.admin } }
      },
    }),

    operation({
      method: 'DELETE',
      path: '/users/{name}',
      summary: 'Deletes a user who has nothing that runs',
      did: 'user.deleted',
      scopes: ['delete:users'],
      answers: { 204: { description: 'Deleted', schema: null } },
      async handle({ ctx, params }) {
        const person = await personFor(tools, ctx, params['name'] ?? '', ['delete:users'])
        const requester = requesterOf(ctx)
        if (requester.kind === 'user' && requester.name === person.name) {
          throw new Problem('badRequest', 'Nobody deletes themselves. Ask another administrator.')
        }
        if (person.admin) mayGrantAdmin(requester.permissions)
        if (environments.live(person.id).length > 0) {
          throw conflict(`${person.name} still has environments that run. Stop them first, and wait until they end.`)
        }
        await people.delete(person)
        return { status: 204 }
      },
    }),

    operation({
      method: 'POST',
      path: '/users/{name}/activity',
      summary: 'Says when a user and their servers were last active',
      scopes: ['users:activity'],
      body: activitySchema,
      answers: { 200: { description: 'Noted', schema: null } },
      async handle({ ctx, params, body }) {
        const person = await personFor(tools, ctx, params['name'] ?? '', ['users:activity'])
        const moments = Object.entries(body.servers).map(([name, { last_activity }]) => {
          const live = environments.live(person.id).find((each) => each.server === serverOf(name))
          if (live === undefined) {
            throw new Problem('notFound', `${person.name} has no server ${name.slice(0, 64)} that runs.`, {
              field: 'servers',
            })
          }
          return [live.id, momentOf(last_activity)] as const
        })
        if (moments.length > 0) await environments.active(Object.fromEntries(moments))
        const latest = Math.max(
          0,
          ...moments.map(([, at]) => at),
          body.last_activity === undefined ? 0 : momentOf(body.last_activity),
        )
        if (latest > 0) await people.active(person, new Date(latest))
        return { status: 200 }
      },
    }),
  ]

  function demandSome(ctx: Parameters<typeof demand>[0]): void {
    const { permissions } = requesterOf(ctx)
    const reach = permissions.get('list:users')
    if (reach === undefined || reach === 'everything' || (reach.user.size === 0 && reach.group.size === 0)) {
      demand(ctx, ['list:users'])
    }
  }
}

/** Without a zone it is UTC: JupyterHub's own. */
const momentOf = (text: string): number => Date.parse(/Z$|[+-]\d\d:?\d\d$/i.test(text) ? text : `${text}Z`)

const asAdmin = (person: Person, admin: boolean): Person =>
  admin ? { ...person, admin, roles: [...new Set([...person.roles, 'admin'])].toSorted() } : person

/** `ready`: only users with one that is ready, but then with all of theirs that are. */
function byUser(live: readonly Environment[], ready: boolean): ReadonlyMap<string, readonly Environment[]> {
  const found = new Map<string, Environment[]>()
  for (const each of live) {
    if (ready && each.state.is !== 'ready' && each.state.is !== 'unreachable') continue
    const those = found.get(each.userId)
    if (those === undefined) found.set(each.userId, [each])
    else those.push(each)
  }
  return found
}
