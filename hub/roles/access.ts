/** What somebody may do, from their roles; and what a token of theirs may do, which is never more. */
import type { Configuration } from '../../config/schema.ts'
import { defineRoles, type Role } from './definitions.ts'
import { expand, identifying, type Owner } from './expand.ts'
import type { Groups } from './groups.ts'
import type { GivenRoles, RoleMembers } from './members.ts'
import { intersect, permissionsOf, type Permissions, union } from './permissions.ts'

export interface Access {
  readonly roles: ReadonlyMap<string, Role>
  readonly groups: Groups
  readonly members: RoleMembers
  /** `groups`: all of the user's. */
  ofUser(user: Subject, groups: readonly string[]): Promise<Standing>
  ofService(name: string): Standing
  /** The same as ofUser for many, with the given roles read once. */
  rolesOf(user: Subject, groups: readonly string[], given: GivenRoles): readonly string[]
}

interface Subject {
  readonly name: string
  /** By the login service or its configuration. */
  readonly admin: boolean
}

interface Standing {
  /** Names, sorted. */
  readonly roles: readonly string[]
  readonly admin: boolean
  readonly permissions: Permissions
}

export interface AccessOptions {
  readonly configuration: Pick<Configuration, 'roles' | 'services'>
  readonly groups: Groups
  readonly members: RoleMembers
}

/** Expanding costs more than looking up: few sets of roles are many people's. */
const mostKept = 5_000

export function createAccess({ configuration, groups, members }: AccessOptions): Access {
  const roles = defineRoles(configuration)
  const kept = new Map<string, Permissions>()

  function permissionsFor(owner: Owner, names: readonly string[]): Permissions {
    const key = JSON.stringify([owner.kind, owner.name, names])
    const known = kept.get(key)
    if (known !== undefined) return known
    if (kept.size >= mostKept) kept.clear()
    const scopes = names.flatMap((name) => roles.get(name)?.scopes ?? [])
    const permissions = union([expand(scopes, { owner }), permissionsOf(identifying(owner))])
    kept.set(key, permissions)
    return permissions
  }

  function rolesOf({ name, admin }: Subject, inGroups: readonly string[], given: GivenRoles): readonly string[] {
    const has = new Set(['user', ...(admin ? ['admin'] : []), ...(given.user.get(name) ?? [])])
    for (const group of inGroups) for (const role of given.group.get(group) ?? []) has.add(role)
    for (const role of roles.values()) {
      if (role.users.includes(name) || role.groups.some((group) => inGroups.includes(group))) has.add(role.name)
    }
    return [...has].filter((role) => roles.has(role)).toSorted()
  }

  return {
    roles,
    groups,
    members,
    rolesOf,
    async ofUser(user, inGroups) {
      const names = rolesOf(user, inGroups, await members.all())
      const permissions = permissionsFor({ kind: 'user', name: user.name }, names)
      return { roles: names, admin: names.includes('admin'), permissions }
    },
    ofService(name) {
      const service = Object.hasOwn(configuration.services, name) ? configuration.services[name] : undefined
      const names = [
        ...(service?.admin === true ? ['admin'] : []),
        ...(service?.roles ?? []),
        ...[...roles.values()].filter((role) => role.services.includes(name)).map((role) => role.name),
      ]
      const owner: Owner = { kind: 'service', name }
      const sorted = [...new Set(names)].toSorted()
      const own = expand(service?.scopes ?? [], { owner })
      return {
        roles: sorted,
        admin: sorted.includes('admin'),
        permissions: union([permissionsFor(owner, sorted), own]),
      }
    },
  }
}

export interface TokenScopes {
  readonly scopes: readonly string[]
  readonly owner: Owner
  /** For the token of an environment: 'ada/lab'. */
  readonly server?: string
  /** For a token that a service or an environment got by OAuth: what lets it in there. */
  readonly access?: string
}

/** Never more than `whose`, whatever the token says. */
export function tokenPermissions(token: TokenScopes, whose: Permissions, groups: readonly string[]): Permissions {
  const { scopes, owner, server, access } = token
  const said = [...scopes, ...identifying(owner), ...(access === undefined ? [] : [access])]
  const own = expand(said, { owner, inherited: whose, ...(server === undefined ? {} : { server }) })
  return intersect(own, whose, (user) => (user === owner.name ? groups : []))
}
