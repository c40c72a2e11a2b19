/** /groups: those of the configuration and those that are kept here. */
import { z } from 'zod'
import { Problem } from '../../domain/problem.ts'
import { excess, allows, permissionsOf, type Permissions } from '../../roles/permissions.ts'
import { type Operation, operation } from './operation.ts'
import { demand, nothingThere, requesterOf } from './requester.ts'
import { type ApiTools, listed, listSchema, rangeOf, rangeSchema } from './tools.ts'

const groupModelSchema = z.strictObject({
  kind: z.literal('group'),
  name: z.string(),
  roles: z.array(z.string()).optional(),
  users: z.array(z.string()).optional().describe('Without those whom a login service puts there.'),
  properties: z.record(z.string(), z.unknown()).optional(),
})

type Group = NonNullable<Awaited<ReturnType<ApiTools['access']['groups']['get']>>>

const usersSchema = z.strictObject({ users: z.array(z.string().max(64)).max(5_000) })

export function groupOperations(tools: ApiTools): readonly Operation[] {
  const { access } = tools
  const { groups } = access

  function rolesOf(name: string, given: ReadonlyMap<string, readonly string[]>): string[] {
    const configured = [...access.roles.values()].filter((role) => role.groups.includes(name)).map((role) => role.name)
    return [...new Set([...configured, ...(given.get(name) ?? [])])].toSorted()
  }

  async function modelsOf(all: readonly Group[], permissions: Permissions) {
    const given = (await access.members.all()).group
    return all.flatMap(({ name, users, properties }) => {
      const target = { kind: 'group', name } as const
      const whole = allows(permissions, 'read:groups', target)
      const roles = allows(permissions, 'read:roles:groups', target)
      if (!whole && !roles && !allows(permissions, 'read:groups:name', target)) return []
      return [
        {
          kind: 'group' as const,
          name,
          ...(roles ? { roles: rolesOf(name, given) } : {}),
          ...(whole ? { users: [...users], properties } : {}),
        },
      ]
    })
  }

  async function modelOf(name: string, permissions: Permissions) {
    const group = await groups.get(name)
    const [model] = group === undefined ? [] : await modelsOf([group], permissions)
    if (model === undefined) throw nothingThere()
    return model
  }

  /** A group can have roles: whoever puts people into it gives them those. */
  async function mayGive(name: string, permissions: Permissions): Promise<void> {
    const roles = rolesOf(name, (await access.members.all()).group)
    const scopes = roles.flatMap((role) => access.roles.get(role)?.scopes ?? []).filter((scope) => scope !== 'self')
    const [more] = excess(permissionsOf(scopes), permissions, () => [])
    if (more === undefined) return
    throw new Problem('forbidden', `The group ${name} has roles that allow ${more}, and you may not give that.`)
  }

  return [
    operation({
      method: 'GET',
      path: '/groups',
      summary: 'Groups',
      scopes: ['list:groups'],
      query: rangeSchema,
      answers: { 200: { description: 'Groups', schema: listSchema(z.array(groupModelSchema)) } },
      async handle({ ctx, query }) {
        const { permissions } = requesterOf(ctx)
        const some = permissions.get('list:groups')
        if (some === undefined || (some !== 'everything' && some.group.size === 0)) demand(ctx, ['list:groups'])
        const all = (await groups.list()).filter(({ name }) =>
          allows(permissions, 'list:groups', { kind: 'group', name }),
        )
        const range = rangeOf(ctx, query)
        const models = await modelsOf(all.slice(range.offset, range.offset + range.limit), permissions)
        return { status: 200, body: listed(ctx, tools, models, range, all.length) }
      },
    }),
    operation({
      method: 'POST',
      path: '/groups',
      summary: 'Creates groups without members',
      did: 'group.created',
      scopes: ['admin:groups'],
      body: z.strictObject({ groups: z.array(z.string()).min(1).max(1_000) }),
      answers: { 201: { description: 'The groups', schema: z.array(groupModelSchema) } },
      async handle({ ctx, body }) {
        const { permissions } = demand(ctx, ['admin:groups'])
        for (const name of body.groups) await groups.create(name, [])
        const made = await Promise.all(body.groups.map((name) => modelOf(name, permissions)))
        return { status: 201, body: made, detail: { groups: body.groups } }
      },
    }),
    operation({
      method: 'GET',
      path: '/groups/{group}',
      summary: 'A group',
      scopes: ['read:groups', 'read:groups:name', 'read:roles:groups'],
      answers: { 200: { description: 'The group', schema: groupModelSchema } },
      async handle({ ctx, params }) {
        const name = params['group'] ?? ''
        const { permissions } = demand(ctx, ['read:groups', 'read:groups:name', 'read:roles:groups'], {
          kind: 'group',
          name,
        })
        return { status: 200, body: await modelOf(name, permissions) }
      },
    }),
    operation({
      method: 'POST',
      path: '/groups/{group}',
      summary: 'Creates a group',
      did: 'group.created',
      scopes: ['admin:groups'],
      body: z.strictObject({
        name: z.string().optional(),
        users: usersSchema.shape.users.default([]),
        properties: z.record(z.string(), z.unknown()).default({}),
      }),
      answers: { 201: { description: 'The group', schema: groupModelSchema } },
      async handle({ ctx, params, body }) {
        const name = params['group'] ?? ''
        const { permissions } = demand(ctx, ['admin:groups'])
        await mayGive(name, permissions)
        await groups.create(name, body.users, body.properties)
        return { status: 201, body: await modelOf(name, permissions) }
      },
    }),
    operation({
      method: 'DELETE',
      path: '/groups/{group}',
      summary: 'Deletes a group; its members stay',
      did: 'group.deleted',
      scopes: ['delete:groups'],
      answers: { 204: { description: 'Deleted', schema: null } },
      async handle({ ctx, params }) {
        const name = params['group'] ?? ''
        demand(ctx, ['delete:groups'], { kind: 'group', name })
        await groups.delete(name)
        return { status: 204 }
      },
    }),
    operation({
      method: 'POST',
      path: '/groups/{group}/users',
      summary: 'Puts users into a group',
      did: 'group.changed',
      scopes: ['groups'],
      body: usersSchema,
      answers: { 200: { description: 'The group', schema: groupModelSchema } },
      async handle({ ctx, params, body }) {
        const name = params['group'] ?? ''
        const { permissions } = demand(ctx, ['groups'], { kind: 'group', name })
        await mayGive(name, permissions)
        await groups.change(name, { add: body.users })
        return { status: 200, body: await modelOf(name, permissions), detail: { added: body.users } }
      },
    }),
    operation({
      method: 'DELETE',
      path: '/groups/{group}/users',
      summary: 'Takes users out of a group',
      did: 'group.changed',
      scopes: ['groups'],
      body: usersSchema,
      answers: { 200: { description: 'The group', schema: groupModelSchema } },
      async handle({ ctx, params, body }) {
        const name = params['group'] ?? ''
        const { permissions } = demand(ctx, ['groups'], { kind: 'group', name })
        await groups.change(name, { remove: body.users })
        return { status: 200, body: await modelOf(name, permissions), detail: { removed: body.users } }
      },
    }),
    operation({
      method: 'PUT',
      path: '/groups/{group}/properties',
      summary: "Replaces a group's properties, of which the hub makes nothing",
      did: 'group.changed',
      scopes: ['groups'],
      body: z.record(z.string(), z.unknown()),
      answers: { 200: { description: 'The group', schema: groupModelSchema } },
      async handle({ ctx, params, body }) {
        const name = params['group'] ?? ''
        const { permissions } = demand(ctx, ['groups'], { kind: 'group', name })
        await groups.setProperties(name, body)
        return { status: 200, body: await modelOf(name, permissions) }
      },
    }),
  ]
}
