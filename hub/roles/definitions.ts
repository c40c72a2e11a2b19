/** The roles that there are: those of every hub, and those of the configuration. Pure. */
import type { Configuration } from '../../config/schema.ts'

export interface Role {
  readonly name: string
  readonly description: string
  /** As written; expand.ts gives them their meaning. */
  readonly scopes: readonly string[]
  /** Who has it by configuration. */
  readonly users: readonly string[]
  readonly groups: readonly string[]
  readonly services: readonly string[]
}

type Definition = Pick<Role, 'description' | 'scopes'>

const everyHubs: Readonly<Record<string, Definition>> = {
  user: { description: 'What everybody may do', scopes: ['self'] },
  admin: {
    description: 'Administrators: everything',
    scopes: [
      'admin-ui',
      'admin:users',
      'admin:servers',
      'admin:services',
      'tokens',
      'admin:groups',
      'read:hub',
      'proxy',
      'access:services',
      'access:servers',
      'read:roles',
      'read:metrics',
      'shares',
    ],
  },
  server: {
    description: "An environment's own token: says that it is in use",
    scopes: ['users:activity!user', 'access:servers!server'],
  },
  token: { description: 'A token that may do what its owner may', scopes: ['inherit'] },
  support: {
    description: 'Support staff: see everybody and their environments, and stop what went wrong',
    scopes: [
      'admin-ui',
      'list:users',
      'read:users',
      'read:servers',
      'delete:servers',
      'list:groups',
      'read:groups',
      'read:roles',
      'read:hub',
      'read:metrics',
    ],
  },
  'local-contact': {
    description: "An instrument's local contacts: see and stop the environments of its users, and enter to help",
    scopes: ['list:users', 'read:users', 'read:servers', 'delete:servers', 'access:servers', 'read:groups'],
  },
}

/**
 * By name. A role of the configuration takes the place of one of these with the same name; `like` takes over its
 * scopes, and `of` narrows every scope to the members of those groups.
 */
export function defineRoles({ roles }: Pick<Configuration, 'roles'>): ReadonlyMap<string, Role> {
  const defined = new Map<string, Role>()
  for (const [name, definition] of Object.entries(everyHubs)) {
    defined.set(name, { ...nobody, ...definition, name })
  }
  for (const [name, { description, like, scopes, of, users, groups, services }] of Object.entries(roles)) {
    const base = like === undefined ? defined.get(name) : defined.get(like)
    const own = [...(like === undefined && scopes.length > 0 ? [] : (base?.scopes ?? [])), ...scopes]
    defined.set(name, {
      name,
      description: description ?? base?.description ?? '',
      scopes: of.length === 0 ? own : own.flatMap((scope) => narrowed(scope, of)),
      users,
      groups,
      services,
    })
  }
  return defined
}

const nobody = { users: [], groups: [], services: [] } as const

/** A scope that has a filter already, or that means its owner, stays as it is. */
function narrowed(scope: string, groups: readonly string[]): readonly string[] {
  if (scope.includes('!') || scope === 'self' || scope === 'inherit') return [scope]
  return groups.map((group) => `${scope}!group=${group}`)
}
