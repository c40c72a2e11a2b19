/** A real OpenID Connect provider on loopback for tests, whose answers can be forged before they reach the hub. */
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { ExecutionContext } from 'ava'
import { type CryptoKey, decodeJwt, exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose'
import { Provider, type ProviderContext } from 'oidc-provider'
import { createAdapters } from '../../hub/identity/demo/adapter.ts'
import { createInsideFetch } from '../../hub/identity/demo/inside-fetch.ts'
import type { ProviderConfiguration } from '../../config/schema.ts'

export interface TestPerson {
  readonly sub: string
  readonly [claim: string]: unknown
}

export interface TokenAnswer {
  id_token: string
  access_token: string
  token_type: string
  [name: string]: unknown
}

/** A whole answer in place of the provider's own. */
export interface Forged {
  readonly status?: number
  readonly type?: string
  readonly body: string
  readonly location?: string
}

export interface Forgeries {
  /** Changes what the token endpoint answers. */
  token?: (answer: TokenAnswer) => Promise<TokenAnswer | Forged> | TokenAnswer | Forged
  userInfo?: (answer: Record<string, unknown>) => Record<string, unknown> | Forged
  discovery?: (answer: Record<string, unknown>) => Record<string, unknown> | Forged
  keys?: (answer: Record<string, unknown>) => Record<string, unknown> | Forged
  /** Handles every request itself; returns false to leave one alone. */
  everything?: (req: IncomingMessage, res: ServerResponse) => boolean
}

export interface TestProvider {
  readonly issuer: string
  readonly clientId: string
  readonly clientSecret: string
  readonly forge: Forgeries
  /** What was asked, in order: 'GET /path'. */
  readonly asked: string[]
  /** Who is logged in at the provider when a browser comes. Undefined: the user cancels. */
  person: TestPerson | undefined
  /** What it knows of somebody from now on, whether they log in or not. */
  change(person: TestPerson): void
  /** Whether offline_access, when it is asked for, brings a refresh token. */
  refreshTokens: boolean
  /** Signs with the provider's own key; `header` and `key` may be another's. */
  sign(claims: JWTPayload, header?: { alg?: string; typ?: string; kid?: string }, key?: CryptoKey): Promise<string>
  /** The ID token again, with other claims (undefined takes one away), signed rightly. */
  resign(idToken: string, claims: Record<string, unknown>): Promise<string>
  readonly publicKeyPem: string
  /** For `login.providers`. */
  configuration(changes?: Partial<ProviderConfiguration>): ProviderConfiguration
  stop(): Promise<void>
}

export interface TestProviderOptions {
  /** Where the hub that logs in is: its callback is /hub/login/{name}/callback. */
  readonly hub: string
  readonly name: string
  /** Further claims of the scope `profile`. */
  readonly claims?: readonly string[]
  /** Who is logged in there, by the browser's request. Absent: `person`. */
  readonly personOf?: (headers: IncomingMessage['headers']) => TestPerson
  /** Where it listens, with TLS. Absent: loopback, without. */
  readonly at?: Readonly<{ host: string; cert: Buffer; key: Buffer }>
  /** Takes the place of the provider's configuration, field by field. */
  readonly changes?: object
}

export const ada: TestPerson = {
  sub: 'a1b2c3@people.example.org',
  preferred_username: 'ada',
  name: 'Ada Lovelace',
  email: 'ada@example.org',
  groups: ['optics', 'users'],
}

/** Whoever ends what was started. */
export type Owner = Pick<ExecutionContext, 'teardown'>

export async function startProvider(t: Owner, options: TestProviderOptions): Promise<TestProvider> {
  const { publicKey, privateKey } = await generateKeyPair('RS256', { extractable: true })
  const kid = 'test-key'
  const jwk = { ...(await exportJWK(privateKey)), kid, use: 'sig', alg: 'RS256' }
  const { at } = options
  const server = at === undefined ? createServer() : createSecureServer(at)
  await new Promise<void>((resolve) => server.listen(0, at?.host ?? '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const issuer = at === undefined ? `http://127.0.0.1:${port}` : `https://${at.host}:${port}`
  const [clientId, clientSecret] = ['hutch-test', 'a secret: with/odd+characters%']
  const people = new Map<string, TestPerson>()

  const self: TestProvider = {
    issuer,
    clientId,
    clientSecret,
    forge: {},
    asked: [],
    person: ada,
    refreshTokens: false,
    change: (person) => void people.set(person.sub, person),
    sign: (claims, header = {}, key = privateKey) =>
      new SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid, ...header }).sign(key),
    async resign(idToken, changes) {
      return self.sign({ ...decodeJwt(idToken), ...changes })
    },
    publicKeyPem: await pem(publicKey),
    configuration: (changes = {}) => ({
      title: `The ${options.name} login`,
      issuer,
      clientId,
      scopes: ['openid', 'profile', 'email'],
      claims: { name: 'preferred_username', title: 'name', email: 'email', groups: 'groups', subject: 'sub' },
      administrators: [],
      refresh: 600_000,
      ...changes,
    }),
    async stop() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  t.teardown(() => self.stop())

  const provider = new Provider(issuer, {
    ...providerConfiguration(options, { clientId, clientSecret, jwk, people }),
    issueRefreshToken: () => Promise.resolve(self.refreshTokens),
    rotateRefreshToken: true,
    ...options.changes,
  })
  // What is forged is asked from inside, where there is no TLS to see.
  provider.proxy = at !== undefined
  provider.use(async (ctx, next) => {
    if (!ctx.path.startsWith('/interaction/')) return next()
    const person = options.personOf?.(ctx.req.headers) ?? self.person
    if (person) people.set(person.sub, person)
    const result = person ? { login: { accountId: person.sub } } : { error: 'access_denied' }
    ctx.status = 303
    ctx.redirect(await provider.interactionResult(ctx.req, ctx.res, result))
  })
  const callback = provider.callback()
  server.on('request', forging(self, callback))
  return self
}

function providerConfiguration(
  { hub, name, claims = [] }: TestProviderOptions,
  made: { clientId: string; clientSecret: string; jwk: object; people: Map<string, TestPerson> },
) {
  return {
    adapter: createAdapters(Date.now),
    jwks: { keys: [made.jwk] },
    clients: [
      {
        client_id: made.clientId,
        client_secret: made.clientSecret,
        grant_types: ['authorization_code', 'refresh_token'],
        redirect_uris: [`${hub}/hub/login/${name}/callback`],
        post_logout_redirect_uris: [`${hub}/hub/login`],
        backchannel_logout_uri: `${hub}/hub/login/${name}/backchannel`,
        backchannel_logout_session_required: true,
      },
    ],
    cookies: { keys: ['only for tests'] },
    claims: { openid: ['sub', 'sid'], profile: ['name', 'preferred_username', 'groups', ...claims], email: ['email'] },
    features: {
      devInteractions: { enabled: false },
      backchannelLogout: { enabled: true },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource(ctx: ProviderContext, form: string) {
          ctx.body = form
        },
      },
    },
    pkce: { required: () => true },
    interactions: { url: (_ctx: unknown, { uid }: { uid: string }) => `/interaction/${uid}` },
    clientBasedCORS: () => false,
    // Its own refuses loopback, where the hub of the tests is.
    fetch: (url: string, { dispatcher: _dispatcher, ...init }: RequestInit & { dispatcher?: unknown }) =>
      fetch(url, init),
    ttl: {
      AccessToken: 600,
      AuthorizationCode: 60,
      IdToken: 600,
      Interaction: 600,
      Session: 3600,
      Grant: 3600,
      RefreshToken: 86_400,
    },
    findAccount(_ctx: unknown, sub: string) {
      const person = made.people.get(sub)
      return person && { accountId: sub, claims: () => person }
    },
    async loadExistingGrant(ctx: ProviderContext) {
      const { client, session } = ctx.oidc
      const granted = session.grantIdFor(client.clientId)
      const known = granted === undefined ? undefined : await ctx.oidc.provider.Grant.find(granted)
      if (known) return known
      const grant = new ctx.oidc.provider.Grant({ clientId: client.clientId, accountId: session.accountId })
      grant.addOIDCScope('openid profile email offline_access')
      await grant.save()
      return grant
    },
    renderError(ctx: ProviderContext, out: { error: string; error_description?: string }) {
      ctx.body = `${out.error}: ${out.error_description}`
    },
  }
}

function forging(self: TestProvider, callback: RequestListener): RequestListener {
  const inside = createInsideFetch(callback, [`${self.issuer}/`])

  async function answer(req: IncomingMessage, res: ServerResponse, path: string): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of req) chunks.push(chunk as Buffer)
    const response = await inside(`${self.issuer}${req.url}`, {
      method: req.method ?? 'GET',
      headers: {
        ...(req.headers as Record<string, string>),
        'x-forwarded-proto': new URL(self.issuer).protocol.slice(0, -1),
      },
      ...(chunks.length > 0 ? { body: Buffer.concat(chunks) } : {}),
    })
    const json = (await response.json()) as TokenAnswer
    const changed = response.ok ? await change(path, json) : json
    if (isForged(changed)) {
      res.writeHead(changed.status ?? 200, {
        'content-type': changed.type ?? 'application/json',
        ...(changed.location === undefined ? {} : { location: changed.location }),
      })
      res.end(changed.body)
      return
    }
    res.writeHead(response.status, { 'content-type': 'application/json' })
    res.end(JSON.stringify(changed))
  }

  async function change(path: string, json: TokenAnswer): Promise<object> {
    const { token, userInfo, discovery, keys } = self.forge
    if (path === '/token') return token ? token(json) : json
    const hook = { '/me': userInfo, '/jwks': keys }[path] ?? discovery
    return hook ? hook(json) : json
  }

  return (req, res) => {
    const path = new URL(req.url ?? '/', self.issuer).pathname
    self.asked.push(`${req.method} ${path}`)
    if (self.forge.everything?.(req, res)) return
    if (!['/token', '/me', '/jwks', '/.well-known/openid-configuration'].includes(path)) return callback(req, res)
    answer(req, res, path).catch((error: unknown) => res.destroy(error instanceof Error ? error : undefined))
  }
}

function isForged(answer: object): answer is Forged {
  return 'body' in answer && typeof answer.body === 'string'
}

async function pem(key: CryptoKey): Promise<string> {
  const der = Buffer.from(await crypto.subtle.exportKey('spki', key)).toString('base64')
  return `-----BEGIN PUBLIC KEY-----\n${der}\n-----END PUBLIC KEY-----\n`
}
