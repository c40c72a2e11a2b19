/** JupyterHub's models: exactly its names, and of each only what the requester may read. Pure. */
import { z } from 'zod'
import type { Environment } from '../../domain/environment.ts'
import type { Person } from '../../identity/people.ts'
import { allows, type Permissions } from '../../roles/permissions.ts'
import { serverNameOf } from '../../roles/server-name.ts'

const time = z.iso.datetime().nullable()

export const serverModelSchema = z.strictObject({
  name: z.string().describe('Empty: the default server.'),
  display_name: z.string(),
  full_name: z.string(),
  last_activity: time,
  started: time,
  pending: z.enum(['spawn', 'stop']).nullable(),
  ready: z.boolean(),
  stopped: z.boolean(),
  url: z.string(),
  full_url: z.string(),
  user_options: z.record(z.string(), z.unknown()).describe('What was chosen: profile, flavour, proposals …'),
  progress_url: z.string(),
  full_progress_url: z.string(),
  state: z.record(z.string(), z.unknown()).optional().describe('With the scope admin:server_state.'),
})

export const userModelSchema = z.strictObject({
  kind: z.literal('user'),
  name: z.string(),
  admin: z.boolean().optional(),
  roles: z.array(z.string()).optional(),
  groups: z.array(z.string()).optional(),
  server: z.string().nullable().optional().describe('Where the default server is, when it is ready.'),
  pending: z.enum(['spawn', 'stop']).nullable().optional().describe('Of the default server.'),
  created: time.optional(),
  last_activity: time.optional(),
  servers: z.record(z.string(), serverModelSchema).optional(),
  auth_state: z.null().optional(),
})

export type ServerModel = z.output<typeof serverModelSchema>
export type UserModel = z.output<typeof userModelSchema>

export interface ModelOptions {
  readonly permissions: Permissions
  /** Of the hub: https://hutch.example.org */
  readonly publicOrigin: string
  /** Of an owner's environments. */
  readonly originOf: (owner: string) => string
}

const iso = (date: Date | undefined): string | null => date?.toISOString() ?? null

export function userModel(
  person: Person,
  servers: readonly Environment[],
  options: ModelOptions,
): UserModel | undefined {
  const { permissions } = options
  const target = { kind: 'user', name: person.name, groups: person.groups } as const
  const may = (scope: Parameters<typeof allows>[1]): boolean => allows(permissions, scope, target)
  const all = may('read:users')
  const named = all || may('read:users:name')
  const roles = may('read:roles:users')
  const readable = servers.filter((each) => mayReadServer(permissions, person, each))
  const readsServers = may('read:servers')
  const groups = all || may('read:users:groups')
  const activity = all || may('read:users:activity')
  if (!(named || roles || readsServers || groups || activity || readable.length > 0)) return undefined
  const standard = servers.find((each) => serverNameOf(each.server) === '')
  return {
    kind: 'user',
    name: person.name,
    ...(named || roles ? { admin: person.admin } : {}),
    ...(all || roles ? { roles: [...person.roles] } : {}),
    ...(groups ? { groups: [...person.groups] } : {}),
    ...(all
      ? {
          server: standard?.state.is === 'ready' ? standard.spec.prefix : null,
          pending: standard === undefined ? null : pendingOf(standard),
          created: iso(person.createdAt),
        }
      : {}),
    ...(activity ? { last_activity: iso(person.lastActivityAt) } : {}),
    ...(readsServers || readable.length > 0
      ? {
          servers: Object.fromEntries(
            readable.map((each) => [serverNameOf(each.server), serverModel(each, person, options)]),
          ),
        }
      : {}),
    ...(may('admin:auth_state') ? { auth_state: null } : {}),
  }
}

function mayReadServer(permissions: Permissions, { name, groups }: Named, { server }: Environment): boolean {
  return allows(permissions, 'read:servers', { kind: 'server', user: name, server: serverNameOf(server), groups })
}

type Named = Pick<Person, 'name' | 'groups'>

export function serverModel(environment: Environment, person: Named, options: ModelOptions): ServerModel {
  const { permissions, publicOrigin, originOf } = options
  const { id, owner, server, title, spec, state, startedAt, lastActivityAt, requestedAt, choices, spawner } =
    environment
  const name = serverNameOf(server)
  const progress = `/hub/api/users/${encodeURIComponent(owner)}/${name === '' ? 'server' : `servers/${encodeURIComponent(name)}`}/progress`
  const target = { kind: 'server', user: owner, server: name, groups: person.groups } as const
  return {
    name,
    display_name: title,
    full_name: `${owner}/${name}`,
    // A server that nobody has touched yet was active when it was asked for: tools that stop idle ones count from it.
    last_activity: (lastActivityAt ?? startedAt ?? requestedAt).toISOString(),
    started: iso(startedAt ?? requestedAt),
    pending: pendingOf(environment),
    ready: state.is === 'ready' || state.is === 'unreachable',
    stopped: state.is === 'ended',
    url: spec.prefix,
    full_url: originOf(owner) + spec.prefix,
    user_options: { ...choices },
    progress_url: progress,
    full_progress_url: publicOrigin + progress,
    ...(allows(permissions, 'admin:server_state', target) ? { state: { id, spawner, is: state.is } } : {}),
  }
}

export function pendingOf({ state }: Environment): 'spawn' | 'stop' | null {
  switch (state.is) {
    case 'starting':
      return 'spawn'
    case 'stopping':
      return 'stop'
    case 'ready':
    case 'unreachable':
    case 'ended':
      return null
  }
}
