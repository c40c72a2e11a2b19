/** The exchange of a code for tokens (RFC 6749, section 4.1.3; RFC 7636). */
import { z } from 'zod'
import { LoginFailure } from './failure.ts'
import { untrusted } from './id-token.ts'
import type { Answer } from './outside.ts'
import type { Metadata, Provider } from './provider.ts'

export interface Tokens {
  readonly accessToken: string
  readonly idToken: string
  readonly refresh?: RefreshToken
}

export interface RefreshToken {
  readonly token: string
  /** Its own end, seconds from now, where the provider says so (Keycloak does); by then it is over without a reason. */
  readonly forSeconds?: number
}

const refreshFields = {
  refresh_token: z.string().min(1).max(16_384).optional(),
  refresh_expires_in: z.number().optional(),
}
const tokenType = z.string().regex(/^bearer$/i)

const tokensSchema = z.object({
  access_token: z.string().min(1),
  id_token: z.string().min(1),
  token_type: tokenType,
  ...refreshFields,
})

const refreshedSchema = z.object({
  access_token: z.string().min(1),
  id_token: z.string().min(1).optional(),
  token_type: tokenType,
  ...refreshFields,
})

export async function exchangeCode(
  provider: Provider,
  metadata: Metadata,
  { code, verifier, callbackUrl }: { code: string; verifier: string; callbackUrl: string },
): Promise<Tokens> {
  const { status, json } = await askToken(provider, metadata, {
    grant_type: 'authorization_code',
    code,
    code_verifier: verifier,
    redirect_uri: callbackUrl,
  })
  if (status !== 200) throw refused(provider, status, json)
  const tokens = tokensSchema.safeParse(json)
  if (!tokens.success) throw untrusted(provider.title, 'tokenAnswer', tokens.error)
  const { access_token, id_token } = tokens.data
  return { accessToken: access_token, idToken: id_token, ...refreshOf(tokens.data) }
}

export type Refreshed = Omit<Tokens, 'idToken'> & { readonly idToken?: string }

/**
 * RFC 6749, section 6. 'refused' only for invalid_grant: the provider took the right away. Everything else that is no
 * success throws, and says nothing about the person.
 */
export async function refreshTokens(
  provider: Provider,
  metadata: Metadata,
  refreshToken: string,
): Promise<Refreshed | 'refused'> {
  const form = { grant_type: 'refresh_token', refresh_token: refreshToken }
  const { status, json } = await askToken(provider, metadata, form)
  if (status !== 200) {
    if (status === 400 && errorOf(json) === 'invalid_grant') return 'refused'
    throw refused(provider, status, json)
  }
  const tokens = refreshedSchema.safeParse(json)
  if (!tokens.success) throw untrusted(provider.title, 'tokenAnswer', tokens.error)
  const { access_token, id_token } = tokens.data
  return {
    accessToken: access_token,
    ...(id_token === undefined ? {} : { idToken: id_token }),
    ...refreshOf(tokens.data),
  }
}

function refreshOf(answer: { refresh_token?: string | undefined; refresh_expires_in?: number | undefined }): {
  refresh?: RefreshToken
} {
  const { refresh_token: token, refresh_expires_in: seconds } = answer
  if (token === undefined) return {}
  // Keycloak says 0 of a token without an end.
  return { refresh: { token, ...(seconds === undefined || seconds <= 0 ? {} : { forSeconds: seconds }) } }
}

async function askToken(
  provider: Provider,
  metadata: Metadata,
  form: Readonly<Record<string, string>>,
): Promise<{ status: number; json: unknown }> {
  const body = new URLSearchParams(form)
  const authorization = authenticate(provider, metadata, body)
  const answer = await provider.ask(metadata.token_endpoint, {
    method: 'POST',
    body,
    headers: { accept: 'application/json', ...(authorization === undefined ? {} : { authorization }) },
  })
  return { status: answer.status, json: parse(provider, answer) }
}

/** Section 2.3.1: Basic, unless the provider takes the secret in the form alone. Without a secret: the client's id. */
function authenticate(provider: Provider, metadata: Metadata, body: URLSearchParams): string | undefined {
  const { clientId } = provider.configuration
  const methods = metadata.token_endpoint_auth_methods_supported ?? ['client_secret_basic']
  if (
    provider.clientSecret !== undefined &&
    (methods.includes('client_secret_basic') || !methods.includes('client_secret_post'))
  ) {
    const pair = `${formEncode(clientId)}:${formEncode(provider.clientSecret)}`
    return `Basic ${Buffer.from(pair).toString('base64')}`
  }
  body.set('client_id', clientId)
  if (provider.clientSecret !== undefined) body.set('client_secret', provider.clientSecret)
  return undefined
}

const formEncode = (text: string): string => new URLSearchParams({ x: text }).toString().slice(2)

function parse(provider: Provider, answer: Answer): unknown {
  try {
    return JSON.parse(answer.text)
  } catch (cause) {
    throw untrusted(provider.title, 'tokenAnswer', cause)
  }
}

function errorOf(json: unknown): string {
  const { error } = z
    .object({ error: z.string().max(100) })
    .catch({ error: 'no reason' })
    .parse(json)
  return error
}

function refused(provider: Provider, status: number, json: unknown): LoginFailure {
  const error = errorOf(json)
  const cause = new Error(`the token endpoint answered ${status}: ${error}`)
  if (error === 'invalid_client' || error === 'unauthorized_client') {
    const detail = `${provider.title} does not accept this hub's own credentials. Tell your administrator.`
    return new LoginFailure('clientCredentials', detail, { cause })
  }
  const detail = 'This answer of the login service was used before or is too old. Log in again.'
  return new LoginFailure('code', detail, { cause })
}
