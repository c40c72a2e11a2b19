/** /users/{name}/tokens: shown once, stored as a hash, never more than whoever makes them has. */
import { z } from 'zod'
import { isScopeName } from '../../../config/scopes.ts'
import { Problem } from '../../domain/problem.ts'
import type { Person } from '../../identity/people.ts'
import { tokenPermissions } from '../../roles/access.ts'
import { excess, scopesOf } from '../../roles/permissions.ts'
import { type Operation, operation } from './operation.ts'
import { nothingThere, requesterOf } from './requester.ts'
import { type ApiTools, personFor } from './tools.ts'

const tokenModelSchema = z.strictObject({
  user: z.string(),
  id: z.string(),
  kind: z.literal('api_token'),
  roles: z.array(z.string()).describe('Always empty, as in JupyterHub since 2.0.'),
  scopes: z.array(z.string()).describe('Expanded: what it allows now.'),
  created: z.iso.datetime(),
  last_activity: z.iso.datetime().nullable(),
  expires_at: z.iso.datetime().nullable(),
  note: z.string(),
  session_id: z.string().nullable(),
  oauth_client: z.string(),
})

const wishSchema = z.strictObject({
  note: z.string().max(200).optional(),
  scopes: z.array(z.string()).max(64).nullish().describe('Absent: everything that the user may do.'),
  roles: z.array(z.string()).max(0, 'are not taken any more; name scopes').nullish(),
  expires_in: z.int().positive().max(315_360_000).nullish().describe('Seconds; absent: it does not end by itself.'),
})

type Info = Awaited<ReturnType<ApiTools['tokens']['list']>>[number]

export function tokenOperations(tools: ApiTools): readonly Operation[] {
  const { tokens, access, now } = tools

  async function allowedBy(person: Person, scopes: readonly string[]) {
    const { permissions } = await access.ofUser(person, person.groups)
    const owner = { kind: 'user', name: person.name } as const
    return tokenPermissions({ scopes, owner }, permissions, person.groups)
  }

  async function modelOf(person: Person, token: Info): Promise<z.output<typeof tokenModelSchema>> {
    return {
      user: person.name,
      id: token.id,
      kind: 'api_token',
      roles: [],
      scopes: [...scopesOf(await allowedBy(person, token.scopes))],
      created: token.createdAt.toISOString(),
      last_activity: token.lastUsedAt?.toISOString() ?? null,
      expires_at: token.expiresAt?.toISOString() ?? null,
      note: token.note,
      session_id: token.session ?? null,
      oauth_client: token.client ?? 'JupyterHub',
    }
  }

  async function find(person: Person, id: string): Promise<Info> {
    const found = (await tokens.list(person.id)).find((each) => each.id === id)
    if (found === undefined) throw nothingThere()
    return found
  }

  return [
    operation({
      method: 'GET',
      path: '/users/{name}/tokens',
      summary: 'Tokens of a user, without the secrets',
      scopes: ['read:tokens'],
      answers: { 200: { description: 'Tokens', schema: z.strictObject({ api_tokens: z.array(tokenModelSchema) }) } },
      async handle({ ctx, params }) {
        const person = await personFor(tools, ctx, params['name'] ?? '', ['read:tokens'])
        const all = await tokens.list(person.id)
        return { status: 200, body: { api_tokens: await Promise.all(all.map((each) => modelOf(person, each))) } }
      },
    }),
    operation({
      method: 'POST',
      path: '/users/{name}/tokens',
      summary: 'Makes a token; it is told once, here',
      did: 'token.made',
      scopes: ['tokens'],
      body: wishSchema,
      answers: { 201: { description: 'The token', schema: tokenModelSchema.extend({ token: z.string() }) } },
      async handle({ ctx, params, body }) {
        const person = await personFor(tools, ctx, params['name'] ?? '', ['tokens'])
        const requester = requesterOf(ctx)
        const scopes = body.scopes ?? ['inherit']
        const token = await allowedBy(person, scopes)
        const groupsOf = (user: string): readonly string[] => (user === person.name ? person.groups : [])
        const [beyond] = excess(token, requester.permissions, groupsOf)
        if (beyond !== undefined) {
          const detail = `This token may not give ${beyond}, which it lacks itself. Name fewer scopes.`
          throw new Problem('forbidden', detail, { field: 'scopes' })
        }
        // One that the user has of their own alone is narrowed to that; one that they lack is a mistake.
        const lacking = scopes.find((scope) => {
          const name = scope.split('!', 1)[0] ?? ''
          return isScopeName(name) && name !== 'self' && name !== 'inherit' && !token.has(name)
        })
        if (lacking !== undefined) {
          throw new Problem('badRequest', `${person.name} may not do ${lacking}. Name other scopes.`, {
            field: 'scopes',
          })
        }
        const by = requester.name === person.name ? '' : ` by ${requester.kind} ${requester.name}`
        const made = await tokens.create({
          userId: person.id,
          scopes,
          note: body.note || `Requested via api${by}`,
          ...(body.expires_in == null ? {} : { expiresAt: new Date(now().getTime() + body.expires_in * 1_000) }),
        })
        const model = { ...(await modelOf(person, await find(person, made.id))), token: made.token }
        return { status: 201, body: model, detail: { id: made.id, scopes } }
      },
    }),
    operation({
      method: 'GET',
      path: '/users/{name}/tokens/{id}',
      summary: 'A token, without the secret',
      scopes: ['read:tokens'],
      answers: { 200: { description: 'The token', schema: tokenModelSchema } },
      async handle({ ctx, params }) {
        const person = await personFor(tools, ctx, params['name'] ?? '', ['read:tokens'])
        return { status: 200, body: await modelOf(person, await find(person, params['id'] ?? '')) }
      },
    }),
    operation({
      method: 'DELETE',
      path: '/users/{name}/tokens/{id}',
      summary: 'Revokes a token, and what it opened',
      did: 'token.revoked',
      scopes: ['tokens'],
      answers: { 204: { description: 'Revoked', schema: null } },
      async handle({ ctx, params }) {
        const person = await personFor(tools, ctx, params['name'] ?? '', ['tokens'])
        const { id } = await find(person, params['id'] ?? '')
        await tokens.revoke(person.id, id)
        return { status: 204 }
      },
    }),
  ]
}
