/** Scopes as roles and tokens have them → permissions: words that depend on whose they are get their meaning. Pure. */
import { permissionsOf, type Permissions, union } from './permissions.ts'

/** Whose role or token it is. */
export type Owner = Readonly<{ kind: 'user'; name: string }> | Readonly<{ kind: 'service'; name: string }>

export interface ExpandOptions {
  readonly owner: Owner
  /** For `!server`: the server whose token it is, 'ada/lab'. */
  readonly server?: string
  /** What `inherit` stands for; absent: nothing. */
  readonly inherited?: Permissions
}

/** What `self` is for a user. */
const own = ['read:users', 'users:activity', 'servers', 'tokens', 'access:servers', 'shares', 'users:shares']

/** What everybody may know of themselves, whatever their token says. */
export function identifying(owner: Owner): readonly string[] {
  switch (owner.kind) {
    case 'user':
      return [`read:users:name!user=${owner.name}`, `read:users:groups!user=${owner.name}`]
    case 'service':
      return [`read:services:name!service=${owner.name}`]
  }
}

/** What can't be given a meaning (`self` of a service, `!server` without one) gives nothing. */
export function expand(scopes: Iterable<string>, { owner, server, inherited }: ExpandOptions): Permissions {
  const expanded: string[] = []
  const all: Permissions[] = []
  for (const scope of scopes) {
    if (scope === 'inherit') {
      if (inherited !== undefined) all.push(inherited)
    } else if (scope === 'self') {
      if (owner.kind === 'user') expanded.push(...own.map((each) => `${each}!user=${owner.name}`))
    } else expanded.push(withOwner(scope, owner, server))
  }
  return union([permissionsOf(expanded), ...all])
}

function withOwner(scope: string, owner: Owner, server: string | undefined): string {
  if (scope.endsWith('!user') && owner.kind === 'user') return `${scope}=${owner.name}`
  if (scope.endsWith('!service') && owner.kind === 'service') return `${scope}=${owner.name}`
  if (scope.endsWith('!server') && server !== undefined) return `${scope}=${server}`
  return scope
}
