/**
 * The hub as OAuth provider of environments and services: the authorization code of RFC 6749 alone, as JupyterHub's
 * clients use it, with a redirect_uri that may be a path. There is no page that asks for consent: an environment is
 * its owner's, and services are the facility's.
 */
import { randomUUID } from 'node:crypto'
import type { Context } from 'koa'
import { z } from 'zod'
import type { Log } from '../../../spawners/spawner.ts'
import { Problem } from '../../domain/problem.ts'
import { readCookies } from '../../identity/cookies.ts'
import { addressKey, createLimit } from '../../identity/limits.ts'
import type { Tokens } from '../../identity/tokens.ts'
import type { Client, Clients } from '../../oauth/clients.ts'
import type { Codes } from '../../oauth/codes.ts'
import { allows } from '../../roles/permissions.ts'
import { parse } from '../input.ts'
import { visitorOf } from '../visitor.ts'
import { type Operation, operation } from './operation.ts'

export interface OAuthTools {
  readonly clients: Clients
  readonly codes: Codes
  readonly tokens: Pick<Tokens, 'create' | 'revokeGrants'>
  /** Whether a login still counts. */
  readonly isLoggedIn: (login: string) => Promise<boolean>
  readonly secureCookies: boolean
  readonly now: () => Date
  readonly log: Log
}

const text = (longest: number) => z.string().max(longest)

const authorizeSchema = z.object({
  client_id: text(400),
  redirect_uri: text(2_000),
  response_type: text(40),
  state: text(4_000).optional(),
  scope: text(4_000).optional(),
  code_challenge: text(200).optional(),
  code_challenge_method: text(20).optional(),
})

const tokenSchema = z.object({
  grant_type: text(40),
  client_id: text(400),
  client_secret: text(1_000),
  code: text(400),
  redirect_uri: text(2_000),
  code_verifier: text(200).optional(),
})

const tokenAnswerSchema = z.strictObject({
  access_token: z.string(),
  token_type: z.literal('Bearer'),
  expires_in: z.int(),
  scope: z.string(),
})

const failureSchema = z.strictObject({ error: z.string(), error_description: z.string() })

/** JupyterHub's own name: its clients keep what they know of a user under its value. */
const sessionCookie = 'jupyterhub-session-id'

/** A login ends sooner, as a rule, and takes its tokens along. */
const tokenLifetimeMs = 14 * 86_400_000

export function oauthOperations(tools: OAuthTools): readonly Operation[] {
  const failures = createLimit({ tries: 300, windowSeconds: 60 })
  return [
    operation({
      method: 'GET',
      path: '/oauth2/authorize',
      summary: 'Sends the browser back to the client with a code; without a login, to the login page first',
      query: authorizeSchema,
      answers: { 302: { description: 'Back to the client, with code and state', schema: null } },
      async handle({ ctx, query }) {
        await authorize(tools, ctx, query)
        return undefined
      },
    }),
    operation({
      method: 'POST',
      path: '/oauth2/token',
      summary: 'Exchanges a code for an access token',
      open: true,
      form: true,
      body: z.looseObject({}),
      answers: {
        200: { description: 'The token', schema: tokenAnswerSchema },
        400: { description: 'Why not (RFC 6749, 5.2)', schema: failureSchema },
      },
      async handle({ ctx, body }) {
        const address = addressKey(ctx.ip)
        await failures.check(address)
        ctx.set('Cache-Control', 'no-store')
        const answer = await exchange(tools, parse(tokenSchema, body))
        if (answer.status !== 200) await failures.take(address)
        return answer
      },
    }),
  ]
}

async function authorize(tools: OAuthTools, ctx: Context, query: z.output<typeof authorizeSchema>): Promise<void> {
  const { clients, codes, log } = tools
  const visitor = visitorOf(ctx)
  if (visitor.by !== 'cookie') throw new Problem('forbidden', 'This is for browsers: log in there.')
  const { client_id, redirect_uri, response_type, state, code_challenge, code_challenge_method } = query
  const known = clients.find(client_id)
  // Nobody is sent anywhere before it is sure that the client is known and the address its own.
  const client = known.find((each) => each.redirectUris.includes(redirect_uri))
  if (client === undefined) {
    log.warn({ client: client_id, known: known.length }, 'an unknown client, or one that leads elsewhere, was refused')
    throw known.length === 0
      ? new Problem('badRequest', 'What asks for you is not known here; it may have ended. Go to your home page.')
      : new Problem('badRequest', 'This leads somewhere else than its own address. Tell your administrator.')
  }
  requireEntry(client, visitor.user, visitor.groups, visitor.permissions ?? new Map())
  const back = new URL(redirect_uri, client.origin)
  if (state !== undefined) back.searchParams.set('state', state)
  const fault = faultOf(response_type, code_challenge, code_challenge_method)
  if (fault === undefined) {
    const code = await codes.issue({
      client: client.id,
      userId: visitor.user.id,
      login: visitor.login,
      session: sessionOf(tools, ctx),
      redirectUri: redirect_uri,
      ...(code_challenge === undefined ? {} : { challenge: code_challenge }),
      scopes: client.scopes,
    })
    back.searchParams.set('code', code)
  } else back.searchParams.set('error', fault)
  ctx.set('Cache-Control', 'no-store')
  ctx.set('Referrer-Policy', 'no-referrer')
  ctx.status = 302
  ctx.redirect(back.href)
}

function requireEntry(
  client: Client,
  user: { id: string; name: string },
  groups: readonly string[],
  permissions: Parameters<typeof allows>[0],
): void {
  const isOwn = client.owner?.id === user.id
  if (allows(permissions, client.scope, client.target(isOwn ? groups : []))) return
  const detail = `You may not use ${client.title}. If you should, ask your administrator for the scope ${client.scope}.`
  throw new Problem('forbidden', detail)
}

function faultOf(responseType: string, challenge: string | undefined, method: string | undefined): string | undefined {
  if (responseType !== 'code') return 'unsupported_response_type'
  if (challenge === undefined) return method === undefined ? undefined : 'invalid_request'
  return method === 'S256' && /^[\w-]{43}$/.test(challenge) ? undefined : 'invalid_request'
}

/** The browser's, made when it has none. It opens nothing. */
function sessionOf({ secureCookies }: OAuthTools, ctx: Context): string {
  const known = readCookies(ctx.get('Cookie')).get(sessionCookie)
  if (known !== undefined && /^[\w-]{8,64}$/.test(known)) return known
  const made = randomUUID().replaceAll('-', '')
  ctx.append('Set-Cookie', `${sessionCookie}=${made}; Path=/; HttpOnly; SameSite=Lax${secureCookies ? '; Secure' : ''}`)
  return made
}

type Exchanged = Readonly<{ status: number; body: z.output<typeof tokenAnswerSchema> | z.output<typeof failureSchema> }>

async function exchange(tools: OAuthTools, form: z.output<typeof tokenSchema>): Promise<Exchanged> {
  const { clients, codes, tokens, isLoggedIn, now, log } = tools
  if (form.grant_type !== 'authorization_code') return no('unsupported_grant_type', 'Use authorization_code.')
  const client = clients.find(form.client_id).find((each) => each.isSecret(form.client_secret))
  if (client === undefined) return no('invalid_client', 'The client is not known, or its secret is wrong.')
  if (!client.redirectUris.includes(form.redirect_uri)) return no('invalid_grant', 'The redirect_uri is another one.')
  const redeemed = await codes.redeem({
    code: form.code,
    client: client.id,
    redirectUri: form.redirect_uri,
    ...(form.code_verifier === undefined ? {} : { verifier: form.code_verifier }),
  })
  if (redeemed.is === 'bad') return no('invalid_grant', 'The code is not valid, or too old. Begin again.')
  const { userId, session, login, scopes } = redeemed.grant
  if (redeemed.is === 'spent') {
    await tokens.revokeGrants({ userId, client: client.id, session })
    log.warn({ client: client.id }, 'a code was used twice; what came of it counts no more')
    return no('invalid_grant', 'The code was used already. Begin again.')
  }
  if (!(await isLoggedIn(login))) return no('invalid_grant', 'The login is over. Begin again.')
  const { token } = await tokens.create({
    userId,
    scopes,
    note: `for ${client.id}`.slice(0, 200),
    expiresAt: new Date(now().getTime() + tokenLifetimeMs),
    grant: { client: client.id, session, login },
  })
  const body = {
    access_token: token,
    token_type: 'Bearer' as const,
    expires_in: tokenLifetimeMs / 1_000,
    scope: scopes.join(' '),
  }
  return { status: 200, body }
}

const no = (error: string, error_description: string): Exchanged => ({
  status: 400,
  body: { error, error_description },
})
