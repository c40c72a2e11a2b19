/**
 * What somebody may do: for each scope everything, or what its filters name. Always expanded: what a scope includes
 * is there by itself. Pure.
 *
 * In text, as JupyterHub has it: `read:users`, `read:users!user=ada`, `read:users!group=optics`,
 * `servers!server=ada/lab`, `access:services!service=culler`.
 */
import { isScopeName, type ScopeName, withIncluded } from '../../config/scopes.ts'

const filterKinds = ['user', 'group', 'server', 'service'] as const

type FilterKind = (typeof filterKinds)[number]
type Filters = Readonly<Record<FilterKind, ReadonlySet<string>>>

export type Permissions = ReadonlyMap<ScopeName, 'everything' | Filters>

/** What is to be read or changed. `groups`: those of the user, or of the server's owner. */
export type Target =
  | Readonly<{ kind: 'user'; name: string; groups: readonly string[] }>
  | Readonly<{ kind: 'server'; user: string; server: string; groups: readonly string[] }>
  | Readonly<{ kind: 'group'; name: string }>
  | Readonly<{ kind: 'service'; name: string }>

/** A filter that is not understood gives nothing. */
const pattern = /^([a-z_:-]+)(?:!(user|group|server|service)=(.{1,400}))?$/s

/** @throws nothing: what is no scope gives nothing. `!user` and the like without a value are for expand.ts. */
export function permissionsOf(scopes: Iterable<string>): Permissions {
  const permissions = new Map<ScopeName, 'everything' | Record<FilterKind, Set<string>>>()
  for (const text of scopes) {
    const [, name = '', kind, value = ''] = pattern.exec(text) ?? []
    if (!isScopeName(name)) continue
    for (const scope of withIncluded(name)) {
      const known = permissions.get(scope)
      if (known === 'everything') continue
      if (kind === undefined) permissions.set(scope, 'everything')
      else {
        const filters = known ?? noFilters()
        filters[kind as FilterKind].add(value)
        permissions.set(scope, filters)
      }
    }
  }
  return permissions
}

/** The same as text, sorted. */
export function scopesOf(permissions: Permissions): readonly string[] {
  return [...permissions]
    .flatMap(([scope, reach]) =>
      reach === 'everything'
        ? [scope as string]
        : filterKinds.flatMap((kind) => [...reach[kind]].map((value) => `${scope}!${kind}=${value}`)),
    )
    .toSorted()
}

/** Absent target: whatever there is, so a filter is not enough. */
export function allows(permissions: Permissions, scope: ScopeName, target?: Target): boolean {
  const reach = permissions.get(scope)
  if (reach === undefined || reach === 'everything') return reach === 'everything'
  switch (target?.kind) {
    case undefined:
      return false
    case 'user':
      return reach.user.has(target.name) || target.groups.some((group) => reach.group.has(group))
    case 'server':
      return (
        reach.server.has(`${target.user}/${target.server}`) ||
        reach.user.has(target.user) ||
        target.groups.some((group) => reach.group.has(group))
      )
    case 'group':
      return reach.group.has(target.name)
    case 'service':
      return reach.service.has(target.name)
  }
}

/** Whether there is anything at all that this scope reaches. */
export function allowsSome(permissions: Permissions, scope: ScopeName): boolean {
  const reach = permissions.get(scope)
  return reach === 'everything' || (reach !== undefined && filterKinds.some((kind) => reach[kind].size > 0))
}

/**
 * What both allow. A user or a server on one side meets a group on the other when `groupsOf` its owner says so; two
 * different groups meet in nothing, because who is in both can not be written as a filter: less, never more.
 */
export function intersect(a: Permissions, b: Permissions, groupsOf: (user: string) => readonly string[]): Permissions {
  const both = new Map<ScopeName, 'everything' | Filters>()
  for (const [scope, left] of a) {
    const right = b.get(scope)
    if (right === undefined) continue
    if (left === 'everything') both.set(scope, right)
    else if (right === 'everything') both.set(scope, left)
    else {
      const filters = meet(left, right, groupsOf)
      if (filterKinds.some((kind) => filters[kind].size > 0)) both.set(scope, filters)
    }
  }
  return both
}

/** What one of them allows. */
export function union(all: readonly Permissions[]): Permissions {
  const sum = new Map<ScopeName, 'everything' | Filters>()
  for (const each of all) {
    for (const [scope, reach] of each) {
      const known = sum.get(scope)
      if (known === undefined || reach === 'everything') sum.set(scope, reach)
      else if (known !== 'everything') {
        sum.set(scope, {
          user: new Set([...known.user, ...reach.user]),
          group: new Set([...known.group, ...reach.group]),
          server: new Set([...known.server, ...reach.server]),
          service: new Set([...known.service, ...reach.service]),
        })
      }
    }
  }
  return sum
}

/** What `inner` has beyond `outer`, as text. */
export function excess(
  inner: Permissions,
  outer: Permissions,
  groupsOf: (user: string) => readonly string[],
): readonly string[] {
  const within = new Set(scopesOf(intersect(inner, outer, groupsOf)))
  return scopesOf(inner).filter((scope) => !within.has(scope))
}

function meet(left: Filters, right: Filters, groupsOf: (user: string) => readonly string[]): Filters {
  const found = noFilters()
  for (const [one, other] of [
    [left, right],
    [right, left],
  ] as const) {
    const inGroup = (user: string): boolean =>
      other.group.size > 0 && groupsOf(user).some((each) => other.group.has(each))
    for (const user of one.user) if (other.user.has(user) || inGroup(user)) found.user.add(user)
    for (const group of one.group) if (other.group.has(group)) found.group.add(group)
    for (const service of one.service) if (other.service.has(service)) found.service.add(service)
    for (const server of one.server) {
      const owner = server.split('/', 1)[0] ?? ''
      if (other.server.has(server) || other.user.has(owner) || inGroup(owner)) found.server.add(server)
    }
  }
  return found
}

const noFilters = (): Record<FilterKind, Set<string>> => ({
  user: new Set(),
  group: new Set(),
  server: new Set(),
  service: new Set(),
})
