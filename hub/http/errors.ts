/**
 * Every error ends here: RFC 9457 problem+json for programs, a calm page for people. It sets the body itself,
 * because Koa's own handling strips all headers, those of security included. Never a stack trace.
 */
import type { Context, Middleware } from 'koa'
import { Problem, type ProblemType } from '../domain/problem.ts'
import type { Log } from '../../spawners/spawner.ts'
import { StateError } from '../store/state-error.ts'
import type { Pages } from './pages.ts'

export function errors({ log, pages }: { log: Log; pages: Pages }): Middleware {
  return async (ctx, next) => {
    try {
      await next()
      if (ctx.body == null && ctx.status === 404) throw unknownPath(ctx)
      if (ctx.body == null && (ctx.status === 405 || ctx.status === 501)) throw methodNotAllowed(ctx)
    } catch (error) {
      const problem = toProblem(error)
      const cause = error instanceof Problem ? error.cause : error
      if (problem.status >= 500)
        log.error({ request: ctx.state['requestId'], err: cause, type: problem.type }, problem.detail)
      answer(ctx, problem, pages)
    }
  }
}

/** A page for whoever navigates; problem+json for scripts and programs. */
function wantsPage(ctx: Context): boolean {
  // Browsers come here by themselves, sent by an environment or a service.
  if (ctx.path === '/hub/api/oauth2/authorize') return true
  if (ctx.path.startsWith('/hub/api/')) return false
  return /\btext\/html\b/.test(ctx.get('Accept'))
}

function answer(ctx: Context, problem: Problem, pages: Pages): void {
  const retry = problem.retryAfter
  if (retry !== undefined) ctx.set('Retry-After', String(Math.ceil(retry)))
  ctx.set('Cache-Control', 'no-store')
  const page = wantsPage(ctx)
  if (page && problem.type === 'notLoggedIn' && (ctx.method === 'GET' || ctx.method === 'HEAD')) {
    ctx.status = 303
    ctx.redirect(`/hub/login?next=${encodeURIComponent(ctx.url.slice(0, 2_000))}`)
    return
  }
  ctx.status = problem.status
  if (page) {
    pages.show(ctx, 'error', { problem, requestId: ctx.state['requestId'] })
    ctx.status = problem.status
    return
  }
  ctx.body = JSON.stringify({
    type: `urn:hutch:problem:${problem.type}`,
    status: problem.status,
    title: problem.title,
    detail: problem.detail,
    // Where clients of JupyterHub look for it.
    ...(ctx.path.startsWith('/hub/api/') ? { message: problem.detail } : {}),
    ...(problem.field === undefined ? {} : { field: problem.field }),
    instance: ctx.state['requestId'],
  })
  ctx.type = 'application/problem+json'
}

function unknownPath(ctx: Context): Problem {
  return new Problem('notFound', 'Nothing lives at this address. Check it, or go to your home page.', {
    cause: ctx.path,
  })
}

function methodNotAllowed(ctx: Context): Problem {
  const allowed = ctx.response.get('Allow')
  return new Problem('methodNotAllowed', `${ctx.method} is not possible here. Use ${allowed || 'another method'}.`)
}

const retryStoreSeconds = 5

const ofStatus: Readonly<Record<number, [ProblemType, string]>> = {
  400: ['badRequest', 'What was sent could not be read. Check it and send it again.'],
  401: ['notLoggedIn', 'Log in, then try again.'],
  403: ['forbidden', 'You may not do this.'],
  404: ['notFound', 'Nothing lives at this address. Check it, or go to your home page.'],
  405: ['methodNotAllowed', 'Use one of the methods in the Allow header.'],
  413: ['tooLarge', 'Send less than 64 KiB.'],
  415: ['badRequest', 'Send it as application/json.'],
  429: ['tooManyRequests', 'Wait a minute, then try again.'],
}

/** What a library threw becomes a row of the table too; anything unknown is our fault. */
function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error
  if (error instanceof StateError) {
    const detail = error.isFull
      ? "The hub's disk is full, so nothing new can be started or changed. What is open goes on. Tell your administrator, and try again when there is room."
      : 'What is open goes on. Try again in a moment; if it lasts, tell your administrator.'
    return new Problem('storeUnavailable', detail, { cause: error, retryAfter: retryStoreSeconds })
  }
  const status = error instanceof Error && 'status' in error ? Number(error.status) : 500
  const known = ofStatus[status]
  if (known) return new Problem(known[0], known[1], { cause: error })
  if (error instanceof Error && (error.name === 'TimeoutError' || error.name === 'AbortError')) {
    return new Problem('backendUnreachable', 'It took too long to answer. Try again in a moment.', { cause: error })
  }
  return new Problem('internal', 'Try again. If it happens again, tell your administrator the request id.', {
    cause: error,
  })
}
