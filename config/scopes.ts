/** JupyterHub's scopes (docs, "Available scopes") and what each of them includes. */

interface Scope {
  /** For the pages: "A token with this may …". */
  readonly description: string
  readonly includes?: readonly string[]
}

const table = {
  self: { description: 'everything of your own' },
  inherit: { description: 'everything that you may do' },
  'admin-ui': { description: 'open the pages for administrators' },
  'admin:users': {
    description: 'create, change and delete users',
    includes: ['admin:auth_state', 'users', 'read:roles:users', 'delete:users'],
  },
  'admin:auth_state': { description: 'read what the login service said of users' },
  users: { description: 'read and change users', includes: ['read:users', 'list:users', 'users:activity'] },
  'delete:users': { description: 'delete users' },
  'list:users': { description: 'list users', includes: ['read:users:name'] },
  'read:users': {
    description: 'read all of users',
    includes: ['read:users:name', 'read:users:groups', 'read:users:activity'],
  },
  'read:users:name': { description: 'read the names of users' },
  'read:users:groups': { description: 'read the groups of users' },
  'read:users:activity': { description: 'read when users were last active' },
  'read:roles': {
    description: 'read who has which role',
    includes: ['read:roles:users', 'read:roles:services', 'read:roles:groups'],
  },
  'read:roles:users': { description: 'read the roles of users' },
  'read:roles:services': { description: 'read the roles of services' },
  'read:roles:groups': { description: 'read the roles of groups' },
  'users:activity': { description: 'say when users were last active', includes: ['read:users:activity'] },
  'admin:servers': {
    description: 'read, start, stop and delete environments, their state included',
    includes: ['admin:server_state', 'servers'],
  },
  'admin:server_state': { description: 'read the state of environments' },
  servers: {
    description: 'start and stop environments',
    includes: ['read:servers', 'start:servers', 'delete:servers'],
  },
  'read:servers': { description: 'read environments', includes: ['read:users:name'] },
  'start:servers': { description: 'start and change environments' },
  'delete:servers': { description: 'stop and delete environments' },
  tokens: { description: 'make and revoke tokens', includes: ['read:tokens'] },
  'read:tokens': { description: 'read about tokens' },
  'admin:groups': {
    description: 'create, change and delete groups',
    includes: ['groups', 'read:roles:groups', 'delete:groups'],
  },
  groups: { description: 'change who is in groups', includes: ['read:groups', 'list:groups'] },
  'list:groups': { description: 'list groups', includes: ['read:groups:name'] },
  'read:groups': { description: 'read groups', includes: ['read:groups:name'] },
  'read:groups:name': { description: 'read the names of groups' },
  'delete:groups': { description: 'delete groups' },
  'admin:services': {
    description: 'administer services',
    includes: ['list:services', 'read:services', 'read:roles:services'],
  },
  'list:services': { description: 'list services', includes: ['read:services:name'] },
  'read:services': { description: 'read services', includes: ['read:services:name'] },
  'read:services:name': { description: 'read the names of services' },
  'read:hub': { description: 'read what this hub is made of' },
  'access:servers': { description: 'enter environments' },
  'access:services': { description: 'use services' },
  'users:shares': { description: 'read and end what is shared with users', includes: ['read:users:shares'] },
  'read:users:shares': { description: 'read what is shared with users' },
  'groups:shares': { description: 'read and end what is shared with groups', includes: ['read:groups:shares'] },
  'read:groups:shares': { description: 'read what is shared with groups' },
  'read:shares': { description: 'read who shares what' },
  shares: {
    description: 'share environments',
    includes: ['access:servers', 'read:shares', 'users:shares', 'groups:shares'],
  },
  proxy: { description: "read the proxy's routes" },
  shutdown: { description: 'stop the hub' },
  'read:metrics': { description: 'read the metrics' },
} as const satisfies Readonly<Record<string, Scope>>

export type ScopeName = keyof typeof table

const scopes: Readonly<Record<string, Scope>> = table

export const scopeNames = Object.keys(table) as readonly ScopeName[]

export function isScopeName(name: string): name is ScopeName {
  return Object.hasOwn(table, name)
}

/** The scope and everything that it includes, over all steps. */
export function withIncluded(name: ScopeName): readonly ScopeName[] {
  const found = new Set<ScopeName>([name])
  for (const each of found) {
    for (const one of scopes[each]?.includes ?? []) if (isScopeName(one)) found.add(one)
  }
  return [...found]
}

/** Why this is no scope, as the rest of a sentence; undefined: it is one. */
export function scopeProblem(scope: string): string | undefined {
  const [, name = '', filter] = /^([^!]*)(!.*)?$/s.exec(scope) ?? []
  if (!isScopeName(name)) return 'is not a scope'
  if (filter === undefined) return undefined
  if (name === 'self' || name === 'inherit') return 'takes no filter'
  if (/^!(?:user|server|service)$/.test(filter)) return undefined
  if (/^!(?:user|group|service)=[^!,\s]{1,255}$/.test(filter)) return undefined
  if (/^!server=[^!,\s/]{1,255}\/[^!,\s/]{0,255}$/.test(filter)) return undefined
  return 'has a filter that is not understood: one looks like !user=ada, !group=optics, !server=ada/lab or !service=culler'
}
