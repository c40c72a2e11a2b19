/** Request bodies: JSON for the API, forms for the pages, 64 KiB at most, and nothing else. */
import type { IncomingMessage } from 'node:http'
import { bodyParser } from '@koa/bodyparser'
import type { Context, Middleware } from 'koa'
import { Problem } from '../domain/problem.ts'

const limit = '64kb'
const limitBytes = 65_536
const mostDiscardedBytes = 1_048_576
const discardMs = 2_000

export function body(): Middleware {
  const parser = bodyParser({
    enableTypes: ['json', 'form'],
    jsonLimit: limit,
    formLimit: limit,
    // JupyterHub's API takes a body with DELETE: "remove", or who leaves a group.
    parsedMethods: ['POST', 'PUT', 'PATCH', 'DELETE'],
  })
  return async (ctx, next) => {
    // Before the parser, so that a body that says its length is refused before it is read.
    if (Number(ctx.get('Content-Length')) > limitBytes) {
      await discard(ctx.req)
      throw new Problem('tooLarge', 'Send less than 64 KiB.')
    }
    // Small bodies need no compression, and what is small compressed can be large.
    if (!/^(?:identity)?$/i.test(ctx.get('Content-Encoding'))) {
      throw new Problem('badRequest', 'Send the body without compression.')
    }
    await parser(ctx, next)
  }
}

/** A sender that is still sending would lose the answer when the connection is closed: so a little is taken in. */
function discard(request: IncomingMessage): Promise<void> {
  return new Promise((resolve) => {
    let takenBytes = 0
    const timer = setTimeout(resolve, discardMs)
    const done = (): void => {
      clearTimeout(timer)
      resolve()
    }
    request.on('data', (chunk: Buffer) => {
      takenBytes += chunk.length
      if (takenBytes > mostDiscardedBytes) done()
    })
    request.once('close', done).once('end', done)
  })
}

/** The parsed JSON body; what is not declared as JSON is refused, so that no form of another site can send it. */
export function jsonBody(ctx: Context): unknown {
  if (!ctx.is('application/json')) throw new Problem('badRequest', 'Send the body as application/json.')
  return ctx.request.body
}

/** The fields of a form; a form without fields is empty. */
export function formBody(ctx: Context): Readonly<Record<string, unknown>> {
  if (ctx.request.type !== '' && ctx.request.type !== 'application/x-www-form-urlencoded') {
    throw new Problem('badRequest', 'Send the form as application/x-www-form-urlencoded.')
  }
  const { body } = ctx.request
  return typeof body === 'object' && body !== null ? { ...body } : {}
}
