import { createHash } from 'node:crypto'
import test from 'ava'
import * as fc from 'fast-check'
import { generateKeyPair, type JWTVerifyGetKey, SignJWT } from 'jose'
import { Problem } from '../../hub/domain/problem.ts'
import { cookieRules, readCookies } from '../../hub/identity/cookies.ts'
import { LoginFailure } from '../../hub/identity/failure.ts'
import { createFreshCache } from '../../hub/identity/fresh-cache.ts'
import { verifyIdToken } from '../../hub/identity/id-token.ts'
import { addressKey, createLimit } from '../../hub/identity/limits.ts'
import { safeNext } from '../../hub/identity/next.ts'
import { isForeign } from '../../hub/identity/origin.ts'

const nextRows: readonly (readonly [unknown, string])[] = [
  ['/hub/', '/hub/'],
  ['/hub/home', '/hub/home'],
  ['/hub/launch?profile=lab&x=%2F', '/hub/launch?profile=lab&x=%2F'],
  ['/user/ada/e7f3/lab/tree/a%20b.ipynb?reset#cell', '/user/ada/e7f3/lab/tree/a%20b.ipynb?reset#cell'],
  ['/user/é/', '/user/%C3%A9/'],
  ['/hub/a/../b', '/hub/b'],
  ['/hub/%2e%2e/%2e%2e/etc', 'no'],
  ['/hub/../user/ada/', '/user/ada/'],
  ['/hub/../../evil', 'no'],
  ['/hub', 'no'],
  ['/', 'no'],
  ['', 'no'],
  [undefined, 'no'],
  [['/hub/', '/hub/'], 'no'],
  ['//evil.example', 'no'],
  ['///evil.example', 'no'],
  ['/hub//evil.example', 'no'],
  ['/hub/..//evil.example', 'no'],
  ['/\\evil.example', 'no'],
  ['/hub\\..\\evil', 'no'],
  ['\\\\evil.example', 'no'],
  ['https://evil.example/hub/', 'no'],
  ['https:/hub/', 'no'],
  ['javascript:alert(1)//hub/', 'no'],
  ['/hub/\t/evil', 'no'],
  ['/hub/\r\nSet-Cookie: a=b', 'no'],
  ['/hub/\u0000', 'no'],
  [' /hub/', 'no'],
  ['/hub/a b', 'no'],
  ['/hubris/', 'no'],
  ['/HUB/', 'no'],
  ['/hub/login', 'no'],
  ['/hub/login/site?next=/hub/', 'no'],
  ['/hub/logout', 'no'],
  ['/hub/x/../login', 'no'],
  [`/hub/${'a'.repeat(1_100)}`, 'no'],
]
for (const [text, expected] of nextRows) {
  test(`next ${JSON.stringify(text)?.slice(0, 60)} → ${expected}`, (t) => {
    t.is(safeNext(text, 'no'), expected)
  })
}

test('law: wherever next leads, it is below /hub/ or /user/ of this origin, and taking it twice changes nothing', (t) => {
  const piece = fc.constantFrom(
    '/',
    '\\',
    '..',
    '.',
    '%2e',
    '%2F',
    '%5c',
    '@',
    ':',
    '?',
    '#',
    'hub',
    'user',
    'a',
    '\t',
    '//',
    'evil.example',
  )
  const text = fc.oneof(
    fc.string(),
    fc.string({ unit: 'binary' }),
    fc.array(piece, { maxLength: 12 }).map((pieces) => `/hub/${pieces.join('')}`),
    fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join('')),
  )
  fc.assert(
    fc.property(text, (next) => {
      const safe = safeNext(next)
      const url = new URL(safe, 'https://hutch.example.org/hub/login')
      return (
        url.origin === 'https://hutch.example.org' &&
        /^\/(?:hub|user)\//.test(url.pathname) &&
        !safe.startsWith('//') &&
        safeNext(safe) === safe
      )
    }),
    { numRuns: 2_000 },
  )
  t.pass()
})

for (const [publicUrl, ownHosts, name, attributes] of [
  ['https://hutch.example.org', true, '__Host-hutch-login', 'Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure'],
  [
    'https://hutch.example.org',
    false,
    '__Secure-hutch-login',
    'Path=/hub/; Max-Age=60; HttpOnly; SameSite=Lax; Secure',
  ],
  ['http://127.0.0.1:8000', false, 'hutch-login', 'Path=/hub/; Max-Age=60; HttpOnly; SameSite=Lax'],
  ['http://hutch.localhost:8000', true, 'hutch-login', 'Path=/hub/; Max-Age=60; HttpOnly; SameSite=Lax'],
] as const) {
  test(`the cookie of ${publicUrl}${ownHosts ? ' with hosts for users' : ''} is ${name}`, (t) => {
    const rules = cookieRules(new URL(publicUrl), ownHosts)
    t.is(rules.login, name)
    t.is(rules.set(rules.login, 'x', 60_000), `${name}=x; ${attributes}`)
    t.true(rules.pendingPrefix.startsWith(name.replace('hutch-login', 'hutch-pending')))
    t.regex(rules.clear(rules.login), /Max-Age=0/)
  })
}

test('cookies: the first of a name counts, and nothing is inherited', (t) => {
  const cookies = readCookies('a=1; b=2=3;  a=9; =x; broken; __proto__=p')
  t.is(cookies.get('a'), '1')
  t.is(cookies.get('b'), '2=3')
  t.is(cookies.get('__proto__'), 'p')
  t.is(cookies.get('constructor'), undefined)
  t.is(readCookies(undefined).size, 0)
})

for (const [address, key] of [
  ['192.0.2.7', '192.0.2.7'],
  ['::ffff:192.0.2.7', '192.0.2.7'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:db8:1:2::1', '2001:db8:1:2::/64'],
  ['2001:0db8:0001:0002::ffff', '2001:db8:1:2::/64'],
  ['::1', '0:0:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ['2001:db8::', '2001:db8:0:0::/64'],
  ['', 'unknown'],
  ['not an address', 'unknown'],
] as const) {
  test(`address ${JSON.stringify(address)} counts as ${key}`, (t) => t.is(addressKey(address), key))
}

test('a limit refuses with the seconds to wait, and forgets the oldest beyond its bound', async (t) => {
  const limit = createLimit({ tries: 2, windowSeconds: 60, mostKeys: 3 })
  await limit.take('a')
  await limit.take('a')
  const refusal = await t.throwsAsync(limit.take('a'), { instanceOf: Problem })
  t.like(refusal, { type: 'tooManyRequests', retryAfter: 60 })
  await t.throwsAsync(limit.check('a'), { instanceOf: Problem })
  await limit.check('b')
  for (const key of ['b', 'c', 'd']) await limit.take(key)
  await t.notThrowsAsync(limit.take('a'))
})

test('law: a limit never lets more than its tries through', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 5 }),
      fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 40 }),
      async (tries, keys) => {
        const limit = createLimit({ tries, windowSeconds: 60 })
        const passed = new Map<string, number>()
        for (const key of keys) {
          const through = await limit.take(key).then(
            () => 1,
            () => 0,
          )
          passed.set(key, (passed.get(key) ?? 0) + through)
        }
        return [...passed].every(([key, count]) => count === Math.min(tries, keys.filter((one) => one === key).length))
      },
    ),
    { numRuns: 50 },
  )
  t.pass()
})

test('a fresh cache asks again after its time, keeps no absence, stays bounded, and clears what is being loaded', async (t) => {
  let now = 0
  let loads = 0
  const cache = createFreshCache<number>({ freshMs: 1_000, most: 2, now: () => now })
  const load = async (): Promise<number> => (loads += 1)
  t.is(await cache.get('a', load), 1)
  t.is(await cache.get('a', load), 1)
  now = 1_000
  t.is(await cache.get('a', load), 2)
  t.is(await cache.get('none', async () => undefined), undefined)
  t.is(await cache.get('none', load), 3)
  await cache.get('c', load)
  t.is(await cache.get('a', load), 5, 'the oldest was forgotten')

  let finish: (value: number) => void = () => {}
  const slow = cache.get('slow', () => new Promise<number>((resolve) => (finish = resolve)))
  cache.clear()
  finish(100)
  t.is(await slow, 100)
  t.is(await cache.get('slow', load), 6, 'what was read before the clearing is not kept')
})

test('law: a request of a browser that says it comes from elsewhere never changes anything', (t) => {
  const header = fc.option(fc.constantFrom('same-site', 'cross-site', 'none', '', 'x', 'same-origin '), {
    nil: undefined,
  })
  fc.assert(
    fc.property(
      fc.constantFrom('POST', 'PUT', 'DELETE', 'PATCH', 'post', 'CONNECT'),
      header,
      fc.option(fc.webUrl(), { nil: undefined }),
      fc.boolean(),
      (method, site, origin, hasLoginCookie) => {
        const headers = {
          ...(site === undefined ? {} : { 'sec-fetch-site': site }),
          ...(origin === undefined ? {} : { origin }),
        }
        const browser = site !== undefined || origin !== undefined
        return (
          isForeign({ method, headers, hasLoginCookie }, 'https://hutch.example.org') === (browser || hasLoginCookie)
        )
      },
    ),
  )
  t.pass()
})

for (const [algorithm, hash] of [
  ['RS256', 'sha256'],
  ['RS384', 'sha384'],
  ['PS512', 'sha512'],
  ['ES256', 'sha256'],
  ['ES384', 'sha384'],
  ['ES512', 'sha512'],
  ['EdDSA', 'sha512'],
] as const) {
  test(`at_hash of ${algorithm} is half of ${hash}`, async (t) => {
    const { publicKey, privateKey } = await generateKeyPair(algorithm)
    const digest = createHash(hash).update('access').digest()
    const now = Date.now()
    const sign = (at_hash: string) =>
      new SignJWT({ nonce: 'nonce', at_hash })
        .setProtectedHeader({ alg: algorithm })
        .setIssuer('https://login.example.org')
        .setAudience('hutch')
        .setSubject('ada')
        .setIssuedAt(Math.floor(now / 1000))
        .setExpirationTime(Math.floor(now / 1000) + 60)
        .sign(privateKey)
    const expected = {
      keys: async () => publicKey,
      title: 'The login',
      issuer: 'https://login.example.org',
      clientId: 'hutch',
      nonce: 'nonce',
      accessToken: 'access',
      now,
    }
    const half = digest.subarray(0, digest.length / 2).toString('base64url')
    t.is((await verifyIdToken(await sign(half), expected)).sub, 'ada')
    await t.throwsAsync(verifyIdToken(await sign(digest.toString('base64url')), expected), { instanceOf: Problem })
    await t.throwsAsync(verifyIdToken(await sign(half), { ...expected, accessToken: 'another' }), {
      instanceOf: Problem,
    })
  })
}

test('an HMAC is refused for its algorithm alone, even if a key for it could be found', async (t) => {
  const secret = new TextEncoder().encode('a secret that is long enough for HS256')
  const now = Date.now()
  const token = await new SignJWT({ nonce: 'nonce' })
    .setProtectedHeader({ alg: 'HS256' })
    .setIssuer('https://login.example.org')
    .setAudience('hutch')
    .setSubject('ada')
    .setIssuedAt(Math.floor(now / 1000))
    .setExpirationTime(Math.floor(now / 1000) + 60)
    .sign(secret)
  // jose refuses a secret where it looks for a provider's keys; the list must not rely on that.
  const keys = (async () => secret) as unknown as JWTVerifyGetKey
  const expected = {
    keys,
    title: '',
    issuer: 'https://login.example.org',
    clientId: 'hutch',
    nonce: 'nonce',
    accessToken: '',
    now,
  }
  const refusal = await t.throwsAsync(verifyIdToken(token, expected), { instanceOf: LoginFailure })
  t.is(refusal?.reason, 'algorithm')
})
