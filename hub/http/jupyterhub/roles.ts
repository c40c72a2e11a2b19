/** /roles, which JupyterHub has in its configuration alone: who has which, and giving them. */
import { z } from 'zod'
import { Problem } from '../../domain/problem.ts'
import { excess, permissionsOf, type Permissions } from '../../roles/permissions.ts'
import { type Operation, operation } from './operation.ts'
import { demand, nothingThere } from './requester.ts'
import type { ApiTools } from './tools.ts'

const roleModelSchema = z.strictObject({
  kind: z.literal('role'),
  name: z.string(),
  description: z.string(),
  scopes: z.array(z.string()),
  users: z.array(z.string()).describe('To whom it was given by name, by the configuration or here.'),
  groups: z.array(z.string()),
  services: z.array(z.string()),
})

const members = { users: 'user', groups: 'group' } as const
/** Everybody has the one, and environments and tokens the others. */
const fixed = new Set(['user', 'server', 'token'])

export function roleOperations(tools: ApiTools): readonly Operation[] {
  const { access, people } = tools

  async function models(): Promise<readonly z.output<typeof roleModelSchema>[]> {
    const given = await access.members.all()
    const holders = (kind: 'user' | 'group', role: string): string[] =>
      [...given[kind]].filter(([, roles]) => roles.includes(role)).map(([member]) => member)
    return [...access.roles.values()].map(({ name, description, scopes, users, groups, services }) => ({
      kind: 'role',
      name,
      description,
      scopes: [...scopes],
      users: [...new Set([...users, ...holders('user', name)])].toSorted(),
      groups: [...new Set([...groups, ...holders('group', name)])].toSorted(),
      services: [...services],
    }))
  }

  /** Nobody gives what they don't have. */
  function mayGive(role: string, permissions: Permissions): void {
    const scopes = access.roles.get(role)?.scopes
    if (scopes === undefined) throw nothingThere()
    if (fixed.has(role)) throw new Problem('badRequest', `The role ${role} is not given: who has it has it by nature.`)
    const [more] = excess(permissionsOf(scopes), permissions, () => [])
    if (more === undefined) return
    throw new Problem('forbidden', `The role ${role} allows ${more}, and you may not give that.`)
  }

  const list = operation({
    method: 'GET',
    path: '/roles',
    summary: 'The roles and who has them',
    scopes: ['read:roles'],
    answers: { 200: { description: 'Roles', schema: z.array(roleModelSchema) } },
    async handle({ ctx }) {
      demand(ctx, ['read:roles'])
      return { status: 200, body: await models() }
    },
  })

  const changes = (['users', 'groups'] as const).flatMap((kind) =>
    (['PUT', 'DELETE'] as const).map((method) =>
      operation({
        method,
        path: `/roles/{role}/${kind}/{member}`,
        summary: `${method === 'PUT' ? 'Gives a role to' : 'Takes a role from'} a ${members[kind]}`,
        scopes: [kind === 'users' ? 'admin:users' : 'admin:groups'],
        did: method === 'PUT' ? 'role.given' : 'role.taken',
        answers: { 204: { description: 'Done', schema: null } },
        async handle({ ctx, params }) {
          const { role = '', member = '' } = params
          const { permissions } = demand(ctx, [kind === 'users' ? 'admin:users' : 'admin:groups'])
          mayGive(role, permissions)
          if (method === 'DELETE') await access.members.take(role, members[kind], member)
          else {
            const known = kind === 'users' ? await people.find(member) : await access.groups.get(member)
            if (known === undefined) throw nothingThere()
            await access.members.give(role, members[kind], member)
          }
          return { status: 204 }
        },
      }),
    ),
  )
  return [list, ...changes]
}
