/**
 * One operation of the API: what it takes, what it answers, and what it does. The router and the OpenAPI document are
 * both made from these, so neither can have what the other lacks.
 */
import { Router } from '@koa/router'
import type { Context } from 'koa'
import { z } from 'zod'
import type { ScopeName } from '../../../config/scopes.ts'
import type { AuditEntry } from '../../audit/entry.ts'
import type { Audit } from '../../audit/index.ts'
import { Problem } from '../../domain/problem.ts'
import { parse } from '../input.ts'
import { actorFor } from './requester.ts'

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

export interface Documented {
  readonly method: Method
  /** As OpenAPI writes it, below /hub/api: /users/{name} */
  readonly path: string
  readonly summary: string
  /** The scopes, each of which is enough; absent: whoever is logged in, or everybody where `open` says so. */
  readonly scopes?: readonly ScopeName[]
  readonly open?: true
  readonly query?: z.ZodType
  /** JSON, or a form where `form` says so. */
  readonly body?: z.ZodType
  readonly form?: true
  /** What the audit trail calls it when it succeeds. */
  readonly did?: AuditEntry['did']
  /** By status; null: no body. Refusals are documented once for all. */
  readonly answers: Readonly<Record<number, Readonly<{ description: string; schema: z.ZodType | null; type?: string }>>>
}

interface Call<Query, Body> {
  readonly ctx: Context
  /** From the path, decoded. */
  readonly params: Readonly<Record<string, string>>
  readonly query: Query
  readonly body: Body
}

/** Undefined: the answer is written already. `detail`: for the audit trail. */
type Answer = Readonly<{ status: number; body?: unknown; detail?: AuditEntry['detail'] }> | undefined

export interface Operation extends Documented {
  run(ctx: Context, params: Readonly<Record<string, string>>): Promise<Answer>
}

interface Given<Query, Body> extends Omit<Documented, 'query' | 'body'> {
  readonly query?: z.ZodType<Query>
  readonly body?: z.ZodType<Body>
  handle(call: Call<Query, Body>): Promise<Answer> | Answer
}

export function operation<Query = undefined, Body = undefined>(given: Given<Query, Body>): Operation {
  const { query, body } = given
  return {
    ...given,
    async run(ctx, params) {
      const answer = await given.handle({
        ctx,
        params,
        query: query === undefined ? (undefined as Query) : parse(query, ctx.query),
        body: body === undefined ? (undefined as Body) : parse(body, readBody(ctx, given.form === true)),
      })
      return answer
    },
  }
}

/** Clients of JupyterHub do not always say that their JSON is JSON; an empty body is an empty object. */
function readBody(ctx: Context, form: boolean): unknown {
  const { body, rawBody } = ctx.request as { body?: unknown; rawBody?: string }
  if (form) return typeof body === 'object' && body !== null ? { ...body } : {}
  if (rawBody === undefined || rawBody === '') return {}
  try {
    return JSON.parse(rawBody)
  } catch (cause) {
    throw new Problem('badRequest', 'The body is not JSON.', { cause })
  }
}

export const apiPrefix = '/hub/api'

/** Whose record this is about, for the audit trail: set by what finds them. */
export const concerning = (ctx: Context, { id, name }: { id: string; name: string }): void => {
  ctx.state['concerning'] = { id, name }
}

async function note(audit: Pick<Audit, 'write'>, ctx: Context, did: AuditEntry['did'], detail: AuditEntry['detail']) {
  const toWhom: AuditEntry['toWhom'] = ctx.state['concerning']
  const params = ctx.params as Readonly<Record<string, string>>
  const what = Object.entries(params)
    .filter(([name]) => name !== 'name')
    .map(([, value]) => value)
    .join('/')
  await audit.write({
    ...actorFor(ctx),
    did,
    ...(toWhom === undefined ? {} : { toWhom }),
    ...(what === '' ? {} : { what }),
    ...(detail === undefined ? {} : { detail }),
  })
}

export function routerOf(
  operations: readonly Operation[],
  { audit, before }: { audit: Pick<Audit, 'write'>; before: (ctx: Context) => void },
): Router {
  const router = new Router({ prefix: apiPrefix })
  for (const each of operations) {
    const path = each.path.replaceAll(/\{(\w+)\}/g, ':$1')
    router.register(path, [each.method], async (ctx) => {
      before(ctx)
      const answer = await each.run(ctx, ctx.params)
      if (answer === undefined) return
      if (each.did !== undefined) await note(audit, ctx, each.did, answer.detail)
      ctx.status = answer.status
      if (answer.body === undefined) {
        // Koa says 204 for no body; clients of JupyterHub look at the status alone.
        ctx.body = answer.status === 204 ? null : ''
        ctx.status = answer.status
      } else {
        ctx.body = JSON.stringify(answer.body)
        ctx.type = 'application/json'
      }
    })
  }
  return router
}
