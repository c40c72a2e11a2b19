/** Who asks, a person or a service, and whether they may. */
import type { Context } from 'koa'
import type { ScopeName } from '../../../config/scopes.ts'
import { actorOf, type AuditedActor } from '../../audit/entry.ts'
import { Problem } from '../../domain/problem.ts'
import { allows, allowsSome, type Permissions, type Target } from '../../roles/permissions.ts'
import { possibleVisitor, serviceOf } from '../visitor.ts'

export interface Requester {
  readonly kind: 'user' | 'service'
  readonly name: string
  readonly permissions: Permissions
}

/** @throws Problem 'forbidden', and not 'notLoggedIn': JupyterHub's clients take a 401 for a fault of theirs */
export function requesterOf(ctx: Context): Requester {
  const service = serviceOf(ctx)
  if (service !== undefined) return { kind: 'service', name: service.name, permissions: service.permissions }
  const visitor = possibleVisitor(ctx)
  if (visitor === undefined) {
    throw new Problem('forbidden', 'Say who you are: send “Authorization: token …”, or log in with a browser.')
  }
  return { kind: 'user', name: visitor.user.name, permissions: visitor.permissions ?? new Map() }
}

/** For the audit trail. */
export function actorFor(ctx: Context): AuditedActor {
  const service = serviceOf(ctx)
  if (service !== undefined) return { who: `service:${service.name}`, from: ctx.ip }
  const visitor = possibleVisitor(ctx)
  return visitor === undefined ? { who: 'nobody', from: ctx.ip } : actorOf(visitor)
}

/**
 * One of the scopes, for this target. Whoever has it for others, but not for this one, can't tell whether it exists.
 * @throws Problem forbidden, notFound
 */
export function demand(ctx: Context, scopes: readonly ScopeName[], target?: Target): Requester {
  const requester = requesterOf(ctx)
  const { permissions } = requester
  if (scopes.some((scope) => allows(permissions, scope, target))) return requester
  if (target !== undefined && scopes.some((scope) => allowsSome(permissions, scope))) throw nothingThere()
  throw new Problem(
    'forbidden',
    `This takes the scope ${scopes.join(' or ')}. Make a token that has it, or ask for it.`,
  )
}

export function nothingThere(): Problem {
  return new Problem('notFound', 'There is no such thing, or it is not open to you. Check its name.')
}
