/** /share-codes: links that share a server, as JupyterHub has them (docs, "Sharing"). */
import { z } from 'zod'
import { type Operation, operation } from './operation.ts'
import { actorFor, nothingThere } from './requester.ts'
import { codeModelSchema, pageOf, roleOf, shareModels, wantedShape } from './share-models.ts'
import { liveOf, pageFor, type ShareTools } from './share-tools.ts'
import { rangeSchema } from './tools.ts'

const codeQuerySchema = z.object({ id: z.string().max(80).optional(), code: z.string().max(120).optional() })

const secondMs = 1_000
const usualSeconds = 86_400

export function shareCodeOperations(tools: ShareTools): readonly Operation[] {
  const models = shareModels(tools)
  /** The default server's name is empty, and then the path ends in a slash. */
  const of = (path: string): readonly Operation[] => [
    operation({
      method: 'GET',
      path,
      summary: 'Links that share a server; their codes are not told again',
      scopes: ['read:shares'],
      query: rangeSchema,
      answers: { 200: { description: 'Codes', schema: pageOf(codeModelSchema) } },
      async handle({ ctx, params, query }) {
        const environment = await liveOf(tools, ctx, params, 'read:shares')
        const codes = (await tools.sharing.codes.list(environment)).map((code) => models.code(code, environment))
        return { status: 200, body: pageFor(tools, ctx, query, codes) }
      },
    }),
    operation({
      method: 'POST',
      path,
      summary: 'Makes a link that shares a server with whoever follows it and is logged in',
      scopes: ['shares'],
      body: z.strictObject(wantedShape),
      answers: { 200: { description: 'The code', schema: codeModelSchema } },
      async handle({ ctx, params, body }) {
        const environment = await liveOf(tools, ctx, params, 'shares')
        const role = roleOf(body, environment)
        tools.sharing.requireOpen(environment)
        const expiresAt = new Date(tools.now().getTime() + (body.expires_in ?? usualSeconds) * secondMs)
        const made = await tools.sharing.codes.create(environment, { role, expiresAt }, actorFor(ctx))
        const path = `/hub/accept-share?code=${made.code}`
        return {
          status: 200,
          body: {
            ...models.code(made, environment),
            code: made.code,
            accept_url: path,
            full_accept_url: tools.publicOrigin + path,
          },
        }
      },
    }),
    operation({
      method: 'DELETE',
      path,
      summary: 'Ends a link, by ?id= or ?code=, or all of a server; what they shared stays',
      scopes: ['shares'],
      query: codeQuerySchema,
      answers: { 204: { description: 'Ended', schema: null } },
      async handle({ ctx, params, query: { id, code } }) {
        const environment = await liveOf(tools, ctx, params, 'shares')
        const which = { ...(id === undefined ? {} : { id }), ...(code === undefined ? {} : { code }) }
        const ended = await tools.sharing.codes.end(environment, which, actorFor(ctx))
        if (ended === 0 && Object.keys(which).length > 0) throw nothingThere()
        return { status: 204 }
      },
    }),
  ]

  return [...of('/share-codes/{owner}/'), ...of('/share-codes/{owner}/{server}')]
}
