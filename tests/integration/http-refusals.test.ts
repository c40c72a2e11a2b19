/** Who may do what, what is refused, and how: a table over a real server. Services are fakes in memory. */
import test, { type ExecutionContext } from 'ava'
import { type Answer, ask, type Question } from '../support/ask.ts'
import { type FakeHub, fakeHub } from '../support/fakeHub.ts'

const form = { 'Content-Type': 'application/x-www-form-urlencoded' }
const json = { 'Content-Type': 'application/json' }
const page = { Accept: 'text/html' }
const nonce = 'n'.repeat(43)

interface Row extends Question {
  readonly name: string
  readonly status: number
  /** In the body, or in Location for a redirect. */
  readonly says?: RegExp
  /** What the answer must not hold. */
  readonly hides?: RegExp
}

const long = 'x'.repeat(100_000)

const rows: readonly Row[] = [
  // Who
  {
    name: 'a page without a login leads to it',
    path: '/hub/home',
    headers: page,
    status: 303,
    says: /^\/hub\/login\?next=%2Fhub%2Fhome$/,
  },
  { name: 'the API without a login', path: '/hub/api/v1/environments', status: 401, says: /Log in/ },
  {
    name: 'the API never redirects',
    path: '/hub/api/v1/environments',
    headers: page,
    status: 401,
    says: /urn:hutch:problem:notLoggedIn/,
  },
  {
    name: 'a form without a login',
    method: 'POST',
    path: '/hub/launch',
    headers: { ...page, ...form },
    body: '',
    status: 401,
    says: /Log in/,
  },
  { name: 'events without a login', path: '/hub/api/v1/events', status: 401 },
  { name: 'the root', path: '/', headers: page, status: 303, says: /^\/hub\/home$/ },
  { name: 'health needs nobody', path: '/hub/health', status: 200, says: /"ok"/ },

  // Other people's
  { name: "another person's environment", as: 'bob', path: '/hub/api/v1/environments/mine1', status: 404 },
  { name: "another person's events", as: 'bob', path: '/hub/api/v1/environments/mine1/events', status: 404 },
  {
    name: "another person's page",
    as: 'bob',
    path: '/hub/environments/mine1',
    headers: page,
    status: 404,
    hides: /Notebook mine1/,
  },
  {
    name: "stopping another person's",
    as: 'bob',
    method: 'POST',
    path: '/hub/api/v1/environments/mine1/stop',
    status: 404,
  },
  {
    name: "stopping another person's by form",
    as: 'bob',
    method: 'POST',
    path: '/hub/environments/mine1/stop',
    headers: form,
    status: 404,
  },
  {
    name: "renaming another person's",
    as: 'bob',
    method: 'PATCH',
    path: '/hub/api/v1/environments/mine1',
    headers: json,
    body: '{"title":"x"}',
    status: 404,
  },
  {
    name: "deleting another person's",
    as: 'bob',
    method: 'DELETE',
    path: '/hub/api/v1/environments/mine1',
    status: 404,
  },
  {
    name: "launching another person's again",
    as: 'bob',
    method: 'POST',
    path: '/hub/environments/mine1/again',
    headers: form,
    status: 404,
  },
  {
    name: "entering another person's",
    as: 'bob',
    path: `/hub/enter?environment=mine1&nonce=${nonce}`,
    status: 404,
    hides: /ticket/,
  },
  {
    name: 'an administrator is not an owner either',
    as: 'ada',
    path: `/hub/enter?environment=mine1&nonce=${nonce}`,
    status: 404,
  },
  {
    name: "an address of another person's",
    as: 'bob',
    path: '/hub/open?next=/user/alice/mine1/lab',
    headers: page,
    status: 403,
    says: /belongs to another person/,
  },
  {
    name: "ending another person's login",
    as: 'bob',
    method: 'POST',
    path: '/hub/sessions/other-alice/end',
    headers: form,
    status: 404,
  },
  { name: 'metrics are for administrators', as: 'alice', path: '/hub/metrics', status: 403 },
  { name: 'metrics', as: 'ada', path: '/hub/metrics', status: 200, says: /hutch_http_requests_total/ },

  // Foreign origins
  {
    name: 'a launch from another site',
    as: 'alice',
    method: 'POST',
    path: '/hub/launch',
    headers: { ...form, Origin: 'https://evil.example' },
    body: 'profile=notebook',
    status: 403,
    says: /foreignOrigin/,
  },
  {
    name: 'a stop from another site',
    as: 'alice',
    method: 'POST',
    path: '/hub/environments/mine1/stop',
    headers: { ...page, ...form, Origin: 'null' },
    status: 403,
    says: /another site/,
  },
  {
    name: 'a delete from another site',
    as: 'alice',
    method: 'DELETE',
    path: '/hub/api/v1/environments/mine1',
    headers: { Origin: 'http://alice.localhost' },
    status: 403,
  },

  // Methods, types and sizes
  {
    name: 'a wrong method',
    as: 'alice',
    method: 'PUT',
    path: '/hub/api/v1/environments/mine1',
    headers: json,
    body: '{}',
    status: 405,
    says: /PUT is not possible here. Use HEAD, GET, PATCH, DELETE/,
  },
  {
    name: 'a wrong method on a page',
    as: 'alice',
    method: 'DELETE',
    path: '/hub/home',
    headers: page,
    status: 405,
    says: /This method is not allowed here/,
  },
  { name: 'stop is not a link', as: 'alice', path: '/hub/environments/mine1/stop', headers: page, status: 405 },
  { name: 'an unknown path', as: 'alice', path: '/hub/nothing', status: 404, says: /problem:notFound/ },
  {
    name: 'an unknown path for people',
    as: 'alice',
    path: '/hub/nothing',
    headers: page,
    status: 404,
    says: /There is nothing here[^]*Request/,
  },
  {
    name: 'an unknown path of the API',
    as: 'alice',
    path: '/hub/api/v1/nothing',
    headers: page,
    status: 404,
    says: /problem:notFound/,
  },
  {
    name: 'a JSON body with a form type',
    as: 'alice',
    method: 'POST',
    path: '/hub/api/v1/environments',
    headers: form,
    body: 'profile=notebook',
    status: 400,
    says: /application\/json/,
  },
  {
    name: 'a JSON body without a type',
    as: 'alice',
    method: 'PATCH',
    path: '/hub/api/v1/environments/mine1',
    headers: { 'Content-Type': 'text/plain' },
    body: '{"title":"x"}',
    status: 400,
    says: /application\/json/,
  },
  {
    name: 'a form with a JSON type',
    as: 'alice',
    method: 'POST',
    path: '/hub/launch',
    headers: json,
    body: '{"profile":"notebook"}',
    status: 400,
  },
  {
    name: 'a form with a text type',
    as: 'alice',
    method: 'POST',
    path: '/hub/environments/mine1/rename',
    headers: { 'Content-Type': 'text/plain' },
    body: 'title=x',
    status: 400,
  },
  {
    name: 'a broken JSON body',
    as: 'alice',
    method: 'POST',
    path: '/hub/api/v1/environments',
    headers: json,
    body: '{"profile":',
    status: 400,
    says: /could not be read/,
  },
  {
    name: 'a JSON array',
    as: 'alice',
    method: 'PATCH',
    path: '/hub/api/v1/environments/mine1',
    headers: json,
    body: '[]',
    status: 400,
  },
  {
    name: 'a body of 100 kB',
    as: 'alice',
    method: 'POST',
    path: '/hub/api/v1/environments',
    headers: json,
    body: JSON.stringify({ profile: long }),
    status: 413,
    says: /64 KiB/,
  },
  {
    name: 'a form of 100 kB',
    as: 'alice',
    method: 'POST',
    path: '/hub/launch',
    headers: { ...page, ...form },
    body: `title=${long}`,
    status: 413,
    says: /too large/,
  },
  {
    name: 'a compressed body',
    as: 'alice',
    method: 'POST',
    path: '/hub/api/v1/environments',
    headers: { ...json, 'Content-Encoding': 'br' },
    body: 'x',
    status: 400,
  },

  // Names, paths and queries
  { name: 'NUL in a path', as: 'alice', path: '/hub/environments/mine1%00', status: 404 },
  { name: 'dots in a path', as: 'alice', path: '/hub/environments/%2e%2e', status: 404 },
  { name: 'an encoded slash', as: 'alice', path: '/hub/environments/mine1%2fstop', status: 404 },
  { name: 'an emoji', as: 'alice', path: '/hub/environments/%F0%9F%98%80', status: 404 },
  { name: 'broken percent encoding', as: 'alice', path: '/hub/environments/%E0%A4%A', status: 404 },
  { name: 'a broken next', as: 'alice', path: '/hub/open?next=/user/%25E0/%25zz/', headers: page, status: 404 },
  { name: 'an id in capitals', as: 'alice', path: '/hub/api/v1/environments/MINE1', status: 404 },
  { name: 'out of the assets', path: '/hub/assets/..%2f..%2fapp.ts', status: 404 },
  { name: 'a name of Object', path: '/hub/assets/constructor', status: 404 },
  {
    name: 'a search of 1 kB',
    as: 'alice',
    path: `/hub/api/v1/proposals?search=${'x'.repeat(1_000)}`,
    status: 400,
    says: /search: must have at most 200/,
  },
  {
    name: 'a search that turns the direction',
    as: 'alice',
    path: '/hub/home?search=%E2%80%AE',
    headers: page,
    status: 400,
    says: /search: must be printable/,
  },
  { name: 'a search twice', as: 'alice', path: '/hub/api/v1/proposals?search=a&search=b', status: 400 },
  {
    name: 'a limit beyond the most',
    as: 'alice',
    path: '/hub/api/v1/proposals?limit=1000',
    status: 400,
    says: /"field":"limit"/,
  },
  { name: 'a negative offset', as: 'alice', path: '/hub/home?offset=-1', status: 400 },
  { name: 'an offset that is no number', as: 'alice', path: '/hub/home?offset=many', status: 400 },
  {
    name: 'a search for markup',
    as: 'alice',
    path: '/hub/home?search=%3Cscript%3Ealert(1)%3C/script%3E',
    headers: page,
    status: 200,
    says: /&lt;script&gt;alert/,
    hides: /<script>alert/,
  },
  {
    name: 'a title that is empty',
    as: 'alice',
    method: 'PATCH',
    path: '/hub/api/v1/environments/mine1',
    headers: json,
    body: '{"title":"  "}',
    status: 400,
    says: /"field":"title"/,
  },
  {
    name: 'a title of 121',
    as: 'alice',
    method: 'PATCH',
    path: '/hub/api/v1/environments/mine1',
    headers: json,
    body: JSON.stringify({ title: 'x'.repeat(121) }),
    status: 400,
  },
  {
    name: 'a title with NUL',
    as: 'alice',
    method: 'PATCH',
    path: '/hub/api/v1/environments/mine1',
    headers: json,
    body: '{"title":"a\\u0000b"}',
    status: 400,
    says: /printable/,
  },
  {
    name: 'a title by an unknown name',
    as: 'alice',
    method: 'PATCH',
    path: '/hub/api/v1/environments/mine1',
    headers: json,
    body: '{"title":"x","owner":"bob"}',
    status: 400,
    says: /owner/,
  },
  {
    name: 'a title with __proto__',
    as: 'alice',
    method: 'PATCH',
    path: '/hub/api/v1/environments/mine1',
    headers: json,
    body: '{"__proto__":{"title":"x"}}',
    status: 400,
  },
  {
    name: 'a launch without a profile',
    as: 'alice',
    method: 'POST',
    path: '/hub/launch',
    headers: { ...page, ...form },
    body: 'title=x',
    status: 400,
    says: /Choose what to launch first/,
  },
  {
    name: 'a launch of __proto__',
    as: 'alice',
    method: 'POST',
    path: '/hub/launch',
    headers: { ...page, ...form },
    body: '__proto__[profile]=notebook&profile=__proto__',
    status: 400,
  },
  {
    name: 'a proposal with dots',
    as: 'alice',
    method: 'POST',
    path: '/hub/api/v1/environments',
    headers: json,
    body: '{"profile":"notebook","flavour":"small","proposals":["../../etc"]}',
    status: 400,
    says: /"field":"proposals/,
  },
  {
    name: 'deleting what runs',
    as: 'alice',
    method: 'DELETE',
    path: '/hub/api/v1/environments/mine1',
    status: 409,
    says: /Stop it first/,
  },

  // Entering and opening
  {
    name: 'entering without a nonce',
    as: 'alice',
    path: '/hub/enter?environment=mine1',
    status: 400,
    says: /"field":"nonce"/,
  },
  { name: 'entering with another nonce', as: 'alice', path: '/hub/enter?environment=mine1&nonce=short', status: 400 },
  { name: 'opening without a next', as: 'alice', path: '/hub/open', status: 404 },
  {
    name: 'opening another site',
    as: 'alice',
    path: '/hub/open?next=https://evil.example/user/alice/mine1/',
    status: 404,
  },
  { name: 'opening another host', as: 'alice', path: '/hub/open?next=//evil.example/user/alice/mine1/', status: 404 },
  {
    name: 'opening what is gone',
    as: 'alice',
    path: '/hub/open?next=/user/alice/gone/',
    headers: page,
    status: 404,
    says: /does not exist any more/,
  },
  {
    name: 'opening mine',
    as: 'alice',
    path: '/hub/open?next=/user/alice/mine1/lab/tree/a.ipynb%3Fx=1',
    status: 303,
    says: /^\/hub\/environments\/mine1\?next=%2Fuser%2Falice%2Fmine1%2Flab%2Ftree%2Fa.ipynb%3Fx%3D1$/,
  },
  {
    name: 'opening above mine',
    as: 'alice',
    path: '/hub/open?next=/user/alice/mine1/../other/',
    status: 303,
    says: /^\/hub\/environments\/mine1$/,
  },
  {
    name: 'opening above mine, encoded',
    as: 'alice',
    path: '/hub/open?next=/user/alice/mine1/%252e%252e/other/',
    status: 303,
    says: /^\/hub\/environments\/mine1$/,
  },
  {
    name: 'a next with a backslash',
    as: 'alice',
    path: '/hub/environments/mine1?next=/user/alice/mine1/\\evil.example',
    headers: page,
    status: 200,
    says: /data-url="http:\/\/127.0.0.1:\d+\/user\/alice\/mine1\/lab"/,
  },
]

for (const row of rows) {
  test(row.name, async (t) => {
    const hub = await fakeHub(t)
    const mine = hub.environments.put({ id: 'mine1' })
    const answer = await ask(hub, row)
    t.is(answer.status, row.status, answer.text.slice(0, 500))
    if (row.says) t.regex(answer.headers.location ?? answer.text, row.says)
    if (row.hides) t.notRegex(answer.text, row.hides)
    if (row.status >= 400) checkRefusal(t, hub, answer)
    t.regex(String(answer.headers['content-security-policy']), /default-src 'none';.*frame-ancestors 'none'/)
    t.is(answer.headers['x-content-type-options'], 'nosniff')
    t.is(await hub.environments.get(mine.id), mine, 'nothing was done')
  })
}

function checkRefusal(t: ExecutionContext, { lines }: FakeHub, { headers, text }: Answer): void {
  const requestId = String(headers['x-request-id'])
  // The launch form comes back with a sentence instead of an error page.
  t.true(text.includes(requestId) || text.includes('id="launch"'), 'the refusal names the request')
  t.notRegex(text, /\bat .*\.[jt]s:\d+|node_modules/, 'no stack trace')
  t.is(headers['cache-control'], 'no-store')
  t.is(lines.at(-1)?.fields['request'], requestId)
}
