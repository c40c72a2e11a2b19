/** Shares and codes as JupyterHub's clients read them, and the scopes they say what is shared by. */
import { z } from 'zod'
import type { Environment } from '../../domain/environment.ts'
import { Problem } from '../../domain/problem.ts'
import { serverNameOf } from '../../roles/server-name.ts'
import type { ShareCode } from '../../sharing/codes.ts'
import { canBeViewed, type Share, type ShareRole } from '../../sharing/share.ts'
import type { ApiTools } from './tools.ts'

const sharedServerSchema = z.strictObject({
  user: z.strictObject({ name: z.string() }),
  name: z.string(),
  url: z.string(),
  full_url: z.string(),
  ready: z.boolean(),
})

export const shareModelSchema = z.strictObject({
  server: sharedServerSchema,
  scopes: z.array(z.string()),
  kind: z.enum(['user', 'group']),
  user: z.strictObject({ name: z.string() }).nullable(),
  group: z.strictObject({ name: z.string() }).nullable(),
  created_at: z.iso.datetime(),
  expires_at: z.iso.datetime().nullable().describe('Null: as long as the server. Ours.'),
  role: z.enum(['guest', 'viewer']).describe('guest: acts as the owner. viewer: may only look. Ours.'),
})

export const codeModelSchema = z.strictObject({
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

export const pageOf = (items: z.ZodType): z.ZodType =>
  z.strictObject({ items: z.array(items), _pagination: z.looseObject({ total: z.int() }) })

/** What is asked for of a share, and of a link. */
export const wantedShape = {
  scopes: z.array(z.string().max(600)).max(20).optional(),
  role: z.enum(['guest', 'viewer']).optional(),
  expires_in: z.number().int().positive().max(31_536_000).nullish().describe('Seconds.'),
}

export interface ShareModels {
  share(share: Share, environment: Environment): z.input<typeof shareModelSchema>
  code(code: ShareCode, environment: Environment): z.input<typeof codeModelSchema>
}

export function shareModels({ originOf }: Pick<ApiTools, 'originOf'>): ShareModels {
  const serverModel = (environment: Environment) => ({
    user: { name: environment.owner },
    name: serverNameOf(environment.server),
    url: environment.spec.prefix,
    full_url: originOf(environment.owner) + environment.spec.prefix,
    ready: environment.state.is === 'ready',
  })

  return {
    share: (share, environment) => ({
      server: serverModel(environment),
      scopes: scopesOf(share.role, environment),
      kind: share.with.kind,
      user: share.with.kind === 'user' ? { name: share.with.name } : null,
      group: share.with.kind === 'group' ? { name: share.with.name } : null,
      created_at: share.createdAt.toISOString(),
      expires_at: share.expiresAt?.toISOString() ?? null,
      role: share.role,
    }),

    code: (code, environment) => ({
      server: serverModel(environment),
      scopes: scopesOf(code.role, environment),
      role: code.role,
      id: code.id,
      created_at: code.createdAt.toISOString(),
      expires_at: code.expiresAt.toISOString(),
      exchange_count: code.uses,
      last_exchanged_at: code.usedAt?.toISOString() ?? null,
    }),
  }
}

/** In JupyterHub's words: who may enter may use; who may only look can read that it is there. */
function scopesOf(role: ShareRole, { owner, server }: Environment): string[] {
  const scope = role === 'guest' ? 'access:servers' : 'read:servers'
  return [`${scope}!server=${owner}/${serverNameOf(server)}`]
}

/** From `role`, or from scopes as JupyterHub's clients send them; without either: use. @throws Problem 'badRequest' */
export function roleOf(
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
