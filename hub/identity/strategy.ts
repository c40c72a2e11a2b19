/**
 * passport-openidconnect made sound. The base class builds the authorization request and drives the exchange; what
 * it leaves out (discovery, PKCE, signatures, at_hash, RFC 9207, UserInfo's sub, deadlines) happens here, before it
 * sees a token. Passport makes Object.create(strategy) for each request, so what is set on `this` is one request's.
 */
// oxlint-disable no-underscore-dangle -- passport-openidconnect names its protected members so
import { createHash, randomBytes } from 'node:crypto'
import { Strategy, type StateStore } from 'passport-openidconnect'
import { subjectOf } from './claims.ts'
import { exchangeCode, type Tokens } from './code.ts'
import { LoginFailure } from './failure.ts'
import { isIdentifier, verifyIdToken } from './id-token.ts'
import type { Pending, Purpose } from './pending.ts'
import type { Discovered, Provider } from './provider.ts'
import { askUserInfo } from './user-info.ts'

/** Who the provider says this is; everything checked. */
export interface SignedIn {
  readonly provider: string
  readonly issuer: string
  /** What the person is known again by: `sub`, or the claim that the configuration names. */
  readonly subject: string
  /** The ID token's `sub`, which logout tokens name. */
  readonly sub: string
  /** The provider's own session, for back-channel logout. */
  readonly sid?: string
  /** UserInfo's and the ID token's; where both speak, the signed one counts. */
  readonly claims: Readonly<Record<string, unknown>>
  /** Where the browser wanted to go. */
  readonly next: string
  readonly purpose: Purpose
  /** Absent: it gave none. */
  readonly tokens?: Pick<Tokens, 'idToken' | 'refresh'>
}

/** One request's part: passport hands it through as its options. */
export type Exchange =
  | Readonly<{ step: 'start'; prompt?: Prompt; begin(half: { nonce: string; verifier: string }): Promise<string> }>
  | Readonly<{ step: 'callback'; query: Query; take(handle: string): Promise<Pending | undefined> }>

/** OpenID Connect Core 1.0, section 3.1.2.1. */
export type Prompt = 'none' | 'login'

type Query = Readonly<Record<string, string | string[] | undefined>>

export class SoundStrategy extends Strategy {
  readonly provider: Provider
  readonly callbackUrl: string

  constructor(provider: Provider, callbackUrl: string) {
    const { configuration } = provider
    super(
      {
        issuer: provider.issuer,
        // Discovery is lazy: each request puts the discovered address in its place, and the token address is never asked.
        authorizationURL: provider.issuer,
        tokenURL: provider.issuer,
        clientID: configuration.clientId,
        clientSecret: '',
        callbackURL: callbackUrl,
        scope: configuration.scopes.filter((scope) => scope !== 'openid'),
        nonce: true,
        skipUserProfile: true,
        store: closedStore,
      },
      (_issuer, _profile, verified) => verified(new Error('no login is under way')),
    )
    this.provider = provider
    this.callbackUrl = callbackUrl
  }

  override authenticate(_req: unknown, options?: { exchange: Exchange }): void {
    const exchange = options?.exchange
    if (!exchange) return this.error(new Error('an exchange is needed'))
    void relay(this, () => this.proceed(exchange))
  }

  /** Not #private: on an object made by Object.create there are no private members. */
  async proceed(exchange: Exchange): Promise<void> {
    const discovered = await this.provider.discover()
    this._oauth2 = { ...this._oauth2, _authorizeUrl: discovered.metadata.authorization_endpoint }
    switch (exchange.step) {
      case 'start':
        return start(this, exchange)
      case 'callback':
        return finish(this, discovered, exchange)
    }
  }

  /** The base class's own way, with a query of ours in place of the visitor's. */
  inherited(query: Record<string, string>): void {
    super.authenticate({ query })
  }
}

function start(strategy: SoundStrategy, { begin, prompt }: Extract<Exchange, { step: 'start' }>): void {
  const verifier = randomBytes(32).toString('base64url')
  const challenge = createHash('sha256').update(verifier).digest('base64url')
  strategy.authorizationParams = () => ({
    code_challenge: challenge,
    code_challenge_method: 'S256',
    ...(prompt === undefined ? {} : { prompt }),
  })
  strategy._stateStore = {
    ...closedStore,
    store(_req, { nonce }, _appState, _meta, done) {
      void relay(strategy, async () => {
        if (nonce === undefined) throw new Error('the base class made no nonce')
        done(null, await begin({ nonce, verifier }))
      })
    },
  }
  // Without a query of the visitor's: the base class would take a `code` in it for a callback.
  strategy.inherited({})
}

async function finish(
  strategy: SoundStrategy,
  discovered: Discovered,
  { query, take }: Extract<Exchange, { step: 'callback' }>,
): Promise<void> {
  const { provider } = strategy
  const answer = once(query)
  const state = answer['state'] ?? ''
  const pending = await take(state)
  if (!pending) {
    const detail =
      'This login was not begun in this browser, was used before, or took more than ten minutes. Log in again.'
    throw new LoginFailure('state', detail)
  }
  const code = checkAnswer(provider, discovered, pending, answer)
  strategy._stateStore = {
    ...closedStore,
    verify: (_req, _handle, done) => done(null, { nonce: pending.nonce }),
  }
  strategy._oauth2.getOAuthAccessToken = (code, _parameters, done) => {
    // Failures go straight to passport: the base class would wrap them, and the reason would be lost.
    void relay(strategy, async () => {
      const { signedIn, idToken, accessToken } = await redeem(strategy, discovered, pending, code)
      strategy._verify = (_issuer, _profile, verified) => verified(null, signedIn)
      done(null, accessToken, undefined, { id_token: idToken })
    })
  }
  strategy.inherited({ code, state })
}

async function relay(strategy: SoundStrategy, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    strategy.error(error)
  }
}

/** RFC 6749, section 3.1: no parameter more than once. A second one is how two parsers are made to disagree. */
function once(query: Query): Readonly<Record<string, string | undefined>> {
  const answer: Record<string, string | undefined> = {}
  for (const [name, value] of Object.entries(query)) {
    if (Array.isArray(value)) {
      throw new LoginFailure('repeatedParameter', 'The answer of the login service is not well-formed. Log in again.')
    }
    answer[name] = value
  }
  return answer
}

/** The code, when the answer is from whom the question went to (RFC 9207) and is not an error. */
function checkAnswer(
  provider: Provider,
  { metadata }: Discovered,
  pending: Pending,
  answer: Readonly<Record<string, string | undefined>>,
): string {
  const { iss, error, code } = answer
  const issRequired = metadata.authorization_response_iss_parameter_supported === true
  if (pending.provider !== provider.name || (iss === undefined ? issRequired : iss !== provider.issuer)) {
    throw new LoginFailure('issuerMixUp', 'The answer came from another login service than was asked. Log in again.')
  }
  if (error === 'access_denied') {
    throw new LoginFailure('cancelled', `The login was cancelled at ${provider.title}. Nothing has changed.`)
  }
  if (error !== undefined && silentErrors.has(error)) {
    const detail = `${provider.title} wants to see you before it lets you in. Log in again.`
    throw new LoginFailure('interaction', detail, { cause: new Error(`the provider answered ${error}`) })
  }
  if (error !== undefined) {
    throw new LoginFailure('providerRefused', `${provider.title} refused the login. Try again, or ask there.`, {
      cause: new Error(
        `the provider answered ${error.slice(0, 100)}: ${(answer['error_description'] ?? '').slice(0, 300)}`,
      ),
    })
  }
  if (!code) throw new LoginFailure('code', 'The answer of the login service is not whole. Log in again.')
  return code
}

/** What prompt=none is answered with when it can't be done in silence (section 3.1.2.6). */
const silentErrors = new Set([
  'login_required',
  'interaction_required',
  'consent_required',
  'account_selection_required',
])

async function redeem(strategy: SoundStrategy, { metadata, keys }: Discovered, pending: Pending, code: string) {
  const { provider, callbackUrl } = strategy
  const tokens = await exchangeCode(provider, metadata, { code, verifier: pending.verifier, callbackUrl })
  const claims = await verifyIdToken(tokens.idToken, {
    keys,
    title: provider.title,
    issuer: provider.issuer,
    clientId: provider.configuration.clientId,
    nonce: pending.nonce,
    accessToken: tokens.accessToken,
    now: provider.now(),
  })
  const url = metadata.userinfo_endpoint
  const info = url === undefined ? {} : await askUserInfo(provider, url, tokens.accessToken, claims.sub)
  const sid = claims['sid']
  const whole = { ...info, ...claims }
  const { idToken, refresh } = tokens
  const signedIn: SignedIn = {
    provider: provider.name,
    issuer: provider.issuer,
    subject: subjectOf(whole, provider.configuration),
    sub: claims.sub,
    ...(isIdentifier(sid) ? { sid } : {}),
    claims: whole,
    next: pending.next,
    purpose: pending.purpose,
    tokens: { idToken, ...(refresh === undefined ? {} : { refresh }) },
  }
  return { signedIn, ...tokens }
}

const closedStore: StateStore = {
  store: (_req, _context, _appState, _meta, done) => done(new Error('no login is under way')),
  verify: (_req, _handle, done) => done(null, false),
}
