/** One configured OpenID Connect provider: what its discovery document says, its keys, its token endpoint. */
import { createRemoteJWKSet, customFetch, type JWTVerifyGetKey } from 'jose'
import { z } from 'zod'
import { isLoopbackUrl } from '../../config/addresses.ts'
import type { ProviderConfiguration } from '../../config/schema.ts'
import type { Form } from './forms/form.ts'
import { ask, type Answer, type Asking, unreachable } from './outside.ts'

export interface ProviderOptions {
  /** The short name in URLs. */
  readonly name: string
  readonly configuration: ProviderConfiguration
  /** Absent: a public client, by PKCE alone. */
  readonly clientSecret?: string
  readonly fetch: typeof fetch
  readonly now: () => number
}

export interface Provider {
  readonly name: string
  readonly title: string
  readonly issuer: string
  readonly configuration: ProviderConfiguration
  readonly clientSecret?: string
  readonly now: () => number
  /** The hub asks for itself, by a form; then the provider is asked nothing. */
  readonly form?: Form
  /** Throws Problem 'providerUnreachable'; asks again at the next call, at most every 2 s. */
  discover(): Promise<Discovered>
  /** As outside.ts, with this provider's fetch and title. */
  ask(url: string, init?: RequestInit): Promise<Answer>
}

export interface Discovered {
  readonly metadata: Metadata
  /** The provider's current keys; an unknown key id makes it ask again, at most every 30 s. */
  readonly keys: JWTVerifyGetKey
}

const endpoint = z
  .url()
  .refine(isSafeEndpoint, 'must be https (http only on this machine itself), without user name or fragment')

const metadataSchema = z.object({
  issuer: z.string(),
  authorization_endpoint: endpoint,
  token_endpoint: endpoint,
  jwks_uri: endpoint,
  userinfo_endpoint: endpoint.optional(),
  end_session_endpoint: endpoint.optional(),
  token_endpoint_auth_methods_supported: z.array(z.string()).optional(),
  authorization_response_iss_parameter_supported: z.boolean().optional(),
})
export type Metadata = z.infer<typeof metadataSchema>

const freshMs = 3_600_000
const retryAfterMs = 2_000

export function createProvider(options: ProviderOptions): Provider {
  const { name, configuration, clientSecret, now } = options
  const asking: Asking = { fetch: options.fetch, title: configuration.title }
  let known: { discovered: Discovered; at: number } | undefined
  let failed: { problem: unknown; at: number } | undefined
  let underWay: Promise<Discovered> | undefined

  async function discover(): Promise<Discovered> {
    if (known && now() - known.at < freshMs) return known.discovered
    // One that is down is not asked by every click of everybody: each question may take its whole deadline.
    if (failed && now() - failed.at < retryAfterMs) return lastKnown(failed.problem)
    underWay ??= learn().finally(() => (underWay = undefined))
    return underWay
  }

  async function learn(): Promise<Discovered> {
    try {
      const metadata = await readDiscovery(asking, configuration.issuer)
      const kept = known?.discovered
      const discovered = kept?.metadata.jwks_uri === metadata.jwks_uri ? { ...kept, metadata } : fresh(asking, metadata)
      known = { discovered, at: now() }
      failed = undefined
      return discovered
    } catch (problem) {
      failed = { problem, at: now() }
      return lastKnown(problem)
    }
  }

  /** What was learnt an hour ago still serves while the discovery document alone can't be had. */
  function lastKnown(problem: unknown): Discovered {
    if (known) return known.discovered
    throw problem
  }

  return {
    name,
    title: configuration.title,
    issuer: configuration.issuer,
    configuration,
    ...(clientSecret === undefined ? {} : { clientSecret }),
    now,
    discover,
    ask: (url, init) => ask(asking, new URL(url), init),
  }
}

function fresh(asking: Asking, metadata: Metadata): Discovered {
  const keys = createRemoteJWKSet(new URL(metadata.jwks_uri), {
    cooldownDuration: 30_000,
    cacheMaxAge: 600_000,
    [customFetch]: async (url) => {
      const answer = await ask(asking, new URL(url), { headers: { accept: 'application/json' } })
      if (answer.status !== 200) throw unreachable(asking.title, new Error(`its keys answered ${answer.status}`))
      parseJson(asking, answer.text)
      return new Response(answer.text, { status: 200 })
    },
  })
  return { metadata, keys }
}

/** OpenID Connect Discovery 1.0, section 4. */
async function readDiscovery(asking: Asking, issuer: string): Promise<Metadata> {
  if (!isSafeEndpoint(issuer)) throw unreachable(asking.title, new Error(`the issuer ${issuer} is not https`))
  const url = new URL(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`)
  const answer = await ask(asking, url, { headers: { accept: 'application/json' } })
  if (answer.status !== 200) throw unreachable(asking.title, new Error(`discovery answered ${answer.status}`))
  const metadata = metadataSchema.safeParse(parseJson(asking, answer.text))
  if (!metadata.success) throw unreachable(asking.title, new Error('discovery is not valid', { cause: metadata.error }))
  // A document that names another issuer is how one provider would pose as another (section 4.3).
  if (metadata.data.issuer !== issuer) {
    throw unreachable(asking.title, new Error(`discovery names another issuer: ${metadata.data.issuer}`))
  }
  return metadata.data
}

function parseJson(asking: Asking, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw unreachable(asking.title, cause)
  }
}

function isSafeEndpoint(text: string): boolean {
  const url = URL.parse(text)
  if (!url || url.username !== '' || url.password !== '' || url.hash !== '') return false
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopbackUrl(url))
}
