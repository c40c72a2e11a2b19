/** Every forged answer of a provider that holds the right code: each is refused, for its own reason, with a sentence. */
import { createHash, createHmac } from 'node:crypto'
import { inspect } from 'node:util'
import test from 'ava'
import { decodeJwt, generateKeyPair } from 'jose'
import type { FailureReason } from '../../hub/identity/failure.ts'
import { createJar } from '../support/browser-jar.ts'
import { startHubAndProvider } from '../support/identity.ts'
import type { Forgeries, TestProvider, TokenAnswer } from '../support/oidc.ts'

interface Row {
  readonly forgery: string
  readonly reason: FailureReason | 'providerUnreachable'
  readonly status?: number
  readonly forge: (provider: TestProvider) => Forgeries | Promise<Forgeries>
}

const base64 = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
const halfHash = (text: string): string =>
  createHash('sha256').update(text).digest().subarray(0, 16).toString('base64url')
const now = (): number => Math.floor(Date.now() / 1000)

/** The ID token with other claims, signed as the provider signs. */
const claims =
  (changes: Record<string, unknown>) =>
  (provider: TestProvider): Forgeries => ({
    token: async (answer) => ({ ...answer, id_token: await provider.resign(answer.id_token, changes) }),
  })

const rows: readonly Row[] = [
  {
    forgery: 'a signature by another key of the same name',
    reason: 'signature',
    async forge(provider) {
      const { privateKey } = await generateKeyPair('RS256')
      return {
        token: async (answer) => ({
          ...answer,
          id_token: await provider.sign(decodeJwt(answer.id_token), {}, privateKey),
        }),
      }
    },
  },
  {
    forgery: 'one byte of the claims changed',
    reason: 'signature',
    forge: () => ({
      token(answer) {
        const [header, , signature] = answer.id_token.split('.')
        const changed = base64({ ...decodeJwt(answer.id_token), sub: 'somebody else' })
        return { ...answer, id_token: `${header}.${changed}.${signature}` }
      },
    }),
  },
  {
    forgery: 'alg none, without a signature',
    reason: 'algorithm',
    forge: () => ({
      token: (answer) => ({
        ...answer,
        id_token: `${base64({ alg: 'none', typ: 'JWT' })}.${base64(decodeJwt(answer.id_token))}.`,
      }),
    }),
  },
  {
    forgery: 'HS256 with the public key as its secret',
    reason: 'algorithm',
    forge: (provider) => ({
      token(answer) {
        const text = `${base64({ alg: 'HS256', kid: 'test-key' })}.${base64(decodeJwt(answer.id_token))}`
        const mac = createHmac('sha256', provider.publicKeyPem).update(text).digest('base64url')
        return { ...answer, id_token: `${text}.${mac}` }
      },
    }),
  },
  {
    forgery: 'HS256 with the client secret',
    reason: 'algorithm',
    forge: (provider) => ({
      token(answer) {
        const text = `${base64({ alg: 'HS256' })}.${base64(decodeJwt(answer.id_token))}`
        const mac = createHmac('sha256', provider.clientSecret).update(text).digest('base64url')
        return { ...answer, id_token: `${text}.${mac}` }
      },
    }),
  },
  {
    forgery: 'a key that the provider does not publish',
    reason: 'signature',
    forge: (provider) => ({
      token: async (answer) => ({
        ...answer,
        id_token: await provider.sign(decodeJwt(answer.id_token), { kid: 'not published' }),
      }),
    }),
  },
  { forgery: 'no nonce', reason: 'nonce', forge: claims({ nonce: undefined }) },
  { forgery: 'the nonce of another login', reason: 'nonce', forge: claims({ nonce: 'somebody-elses-nonce' }) },
  { forgery: 'a nonce that is an array', reason: 'nonce', forge: claims({ nonce: ['x'] }) },
  {
    forgery: 'at_hash of another access token',
    reason: 'accessTokenHash',
    forge: claims({ at_hash: 'AAAAAAAAAAAAAAAAAAAAAA' }),
  },
  {
    forgery: 'another access token than the one that at_hash speaks of',
    reason: 'accessTokenHash',
    forge: (provider) => ({
      token: async (answer) => ({
        ...answer,
        id_token: await provider.resign(answer.id_token, { at_hash: halfHash(answer.access_token) }),
        access_token: 'injected',
      }),
    }),
  },
  { forgery: 'azp of another client', reason: 'authorizedParty', forge: claims({ azp: 'another-client' }) },
  {
    forgery: 'several audiences and no azp',
    reason: 'authorizedParty',
    forge: claims({ aud: ['hutch-test', 'another-client'] }),
  },
  {
    forgery: 'several audiences and azp of the other',
    reason: 'authorizedParty',
    forge: claims({ aud: ['hutch-test', 'another-client'], azp: 'another-client' }),
  },
  { forgery: 'the audience of another client', reason: 'audience', forge: claims({ aud: 'another-client' }) },
  { forgery: 'no audience', reason: 'audience', forge: claims({ aud: undefined }) },
  { forgery: 'expired an hour ago', reason: 'expired', forge: claims({ exp: now() - 3600, iat: now() - 3700 }) },
  { forgery: 'no expiry', reason: 'expired', forge: claims({ exp: undefined }) },
  { forgery: 'issued an hour ago, and good for long', reason: 'expired', forge: claims({ iat: now() - 3600 }) },
  { forgery: 'issued an hour from now', reason: 'expired', forge: claims({ iat: now() + 3600 }) },
  { forgery: 'not good before tomorrow', reason: 'expired', forge: claims({ nbf: now() + 86_400 }) },
  { forgery: 'another issuer', reason: 'issuer', forge: claims({ iss: 'https://login.example.org' }) },
  { forgery: 'no subject', reason: 'subject', forge: claims({ sub: undefined }) },
  { forgery: 'an empty subject', reason: 'subject', forge: claims({ sub: '' }) },
  { forgery: 'a subject of 10 kB', reason: 'subject', forge: claims({ sub: 'x'.repeat(10_000) }) },
  { forgery: 'a subject with NUL', reason: 'subject', forge: claims({ sub: 'a\u0000b' }) },
  {
    forgery: 'an ID token that is none',
    reason: 'tokenAnswer',
    forge: () => ({ token: (answer) => ({ ...answer, id_token: 'not.a.token' }) }),
  },
  {
    forgery: 'no ID token',
    reason: 'tokenAnswer',
    forge: () => ({ token: (answer) => ({ ...answer, id_token: '' }) }),
  },
  {
    forgery: 'an access token of another kind',
    reason: 'tokenAnswer',
    forge: () => ({ token: (answer) => ({ ...answer, token_type: 'DPoP' }) }),
  },
  {
    forgery: 'a token answer that is not JSON',
    reason: 'tokenAnswer',
    forge: () => ({ token: () => ({ body: '<html>hello', type: 'text/html' }) }),
  },
  {
    forgery: 'a token answer of 1 MB',
    reason: 'providerUnreachable',
    status: 502,
    forge: () => ({ token: () => ({ body: 'x'.repeat(1_000_000) }) }),
  },
  {
    forgery: 'a token answer that is an error of the server',
    reason: 'providerUnreachable',
    status: 502,
    forge: () => ({ token: () => ({ body: '{"error":"server_error"}', status: 503 }) }),
  },
  {
    forgery: 'a token answer that redirects',
    reason: 'providerUnreachable',
    status: 502,
    forge: (provider) => ({ token: () => ({ body: '', status: 307, location: `${provider.issuer}/elsewhere` }) }),
  },
  {
    forgery: 'UserInfo of another subject',
    reason: 'userInfoSubject',
    forge: () => ({ userInfo: (info) => ({ ...info, sub: 'somebody else' }) }),
  },
  {
    forgery: 'UserInfo without a subject',
    reason: 'userInfo',
    forge: () => ({ userInfo: ({ sub: _sub, ...info }) => info }),
  },
  {
    forgery: 'UserInfo that is not JSON',
    reason: 'userInfo',
    forge: () => ({ userInfo: () => ({ body: 'welcome', type: 'text/plain' }) }),
  },
  {
    forgery: 'UserInfo that is JSON but no object',
    reason: 'userInfo',
    forge: () => ({ userInfo: () => ({ body: '["sub"]' }) }),
  },
  {
    forgery: 'UserInfo that is forbidden',
    reason: 'userInfo',
    forge: () => ({ userInfo: (info) => ({ body: JSON.stringify(info), status: 403 }) }),
  },
  {
    forgery: 'keys that are not JSON',
    reason: 'providerUnreachable',
    status: 502,
    forge: () => ({ keys: () => ({ body: 'no keys today' }) }),
  },
]

for (const { forgery, reason, status = 403, forge } of rows) {
  test(`refused: ${forgery}`, async (t) => {
    const { hub, provider } = await startHubAndProvider(t)
    const secrets: string[] = []
    const forged = await forge(provider)
    Object.assign(provider.forge, {
      ...forged,
      async token(answer: TokenAnswer) {
        const given = forged.token ? await forged.token(answer) : answer
        for (const one of [answer, given]) {
          if ('id_token' in one)
            secrets.push(one.access_token, one.id_token, String(decodeJwt(answer.id_token)['nonce']))
        }
        return given
      },
    })
    const browser = createJar()
    const page = await browser.open(`${hub.url}/hub/login/site`)
    t.is(page.status, status)
    t.deepEqual(hub.refusals, [reason])
    t.regex(page.text, /role="alert"/)
    t.is(browser.cookie('hutch-login'), undefined)
    t.deepEqual(await hub.db.selectFrom('users').selectAll().execute(), [])

    const written = inspect(hub.lines, { depth: 20, maxStringLength: Infinity, maxArrayLength: Infinity })
    for (const secret of secrets.filter((text) => text !== '')) t.false(written.includes(secret), secret)

    // The same hub and provider, without the forgery: so it was the forgery that was refused.
    for (const hook of ['token', 'userInfo', 'keys'] as const) delete provider.forge[hook]
    const again = await browser.open(`${hub.url}/hub/login/site?next=/hub/who`)
    t.is(again.status, 200, again.text)
    t.is(JSON.parse(again.text).visitor.user.name, 'ada')
  })
}

const accepted: readonly Omit<Row, 'reason'>[] = [
  {
    forgery: 'a right at_hash',
    forge: (provider) => ({
      token: async (answer) => ({
        ...answer,
        id_token: await provider.resign(answer.id_token, { at_hash: halfHash(answer.access_token) }),
      }),
    }),
  },
  { forgery: 'several audiences, azp ours', forge: claims({ aud: ['hutch-test', 'another'], azp: 'hutch-test' }) },
  { forgery: 'a clock 30 s ahead of ours', forge: claims({ iat: now() + 30 }) },
  {
    forgery: 'a bearer type in lowercase',
    forge: () => ({ token: (answer) => ({ ...answer, token_type: 'bearer' }) }),
  },
  {
    forgery: 'no UserInfo endpoint, and the name in the ID token',
    forge: (provider) => ({
      discovery: ({ userinfo_endpoint: _none, ...metadata }) => metadata,
      token: async (answer) => ({
        ...answer,
        id_token: await provider.resign(answer.id_token, { preferred_username: 'ada' }),
      }),
    }),
  },
]

for (const { forgery, forge } of accepted) {
  test(`accepted: ${forgery}`, async (t) => {
    const { hub, provider } = await startHubAndProvider(t)
    Object.assign(provider.forge, await forge(provider))
    const page = await createJar().open(`${hub.url}/hub/login/site?next=/hub/who`)
    t.is(page.status, 200, page.text)
    t.is(JSON.parse(page.text).visitor.user.name, 'ada')
  })
}
