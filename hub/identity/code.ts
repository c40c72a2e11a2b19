/** The exchange of a code for tokens (RFC 6749, section 4.1.3; RFC 7636). */
import { z } from 'zod'
import { LoginFailure } from './failure.ts'
import { untrusted } from './id-token.ts'
import type { Answer } from './outside.ts'
import type { Metadata, Provider } from './provider.ts'

export interface Tokens {
  readonly accessToken: string
  readonly idToken: string
}

const tokensSchema = z.object({
  access_token: z.string().min(1),
  id_token: z.string().min(1),
  token_type: z.string().regex(/^bearer$/i),
})

export async function exchangeCode(
  provider: Provider,
  metadata: Metadata,
  { code, verifier, callbackUrl }: { code: string; verifier: string; callbackUrl: string },
): Promise<Tokens> {
  const body = new URLSearchParams({
    grant_type: 'authorization_code',
    code,
    code_verifier: verifier,
    redirect_uri: callbackUrl,
  })
  const authorization = authenticate(provider, metadata, body)
  const answer = await provider.ask(metadata.token_endpoint, {
    method: 'POST',
    body,
    headers: { accept: 'application/json', ...(authorization === undefined ? {} : { authorization }) },
  })
  const json = parse(provider, answer)
  if (answer.status !== 200) throw refused(provider, answer.status, json)
  const tokens = tokensSchema.safeParse(json)
  if (!tokens.success) throw untrusted(provider.title, 'tokenAnswer', tokens.error)
  return { accessToken: tokens.data.access_token, idToken: tokens.data.id_token }
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

function refused(provider: Provider, status: number, json: unknown): LoginFailure {
  const { error } = z
    .object({ error: z.string().max(100) })
    .catch({ error: 'no reason' })
    .parse(json)
  const cause = new Error(`the token endpoint answered ${status}: ${error}`)
  if (error === 'invalid_client' || error === 'unauthorized_client') {
    const detail = `${provider.title} does not accept this hub's own credentials. Tell your administrator.`
    return new LoginFailure('clientCredentials', detail, { cause })
  }
  const detail = 'This answer of the login service was used before or is too old. Log in again.'
  return new LoginFailure('code', detail, { cause })
}
