/** What operators see: metrics of the hub and the proxy, and logs that tell enough and no secrets. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { agentKey } from '../../images/agent/link.ts'
import { control } from '../support/control.ts'
import { startFakeBackend } from '../support/fakeBackend.ts'
import { fakeSite } from '../support/fakeSite.ts'
import { runHutch, type RunningHutch } from '../support/hutch.ts'
import { logInAs, type Launched, type Scientist } from '../support/scientist.ts'
import { until } from '../support/until.ts'

const patience = { timeoutMs: 60_000, everyMs: 100 }

interface Busy {
  readonly hutch: RunningHutch
  readonly ada: Scientist
  /** One of each profile. */
  readonly ids: Readonly<Record<'good' | 'refused' | 'broken', string>>
  /** What was shown to somebody and must be in no log. */
  readonly shown: readonly Secret[]
}

interface Secret {
  readonly what: string
  readonly value: string
}

/** One hub for all tests here, after a launch that is good, one that is refused and one that fails. */
let busy: Busy | undefined
const opened = new AsyncDisposableStack()

test.before(async (t) => {
  t.timeout(300_000)
  const backend = await startFakeBackend()
  opened.defer(() => backend.close())
  backend.behave({ startMs: 300 })
  const folder = await mkdtemp(join(tmpdir(), 'hutch-'))
  opened.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  const args = await fakeSite({ folder, backend: backend.url, more: { log: { level: 'debug' } } })
  const hutch = await runHutch({ state: join(folder, 'state'), args })
  opened.defer(async () => void (await hutch.stop()))
  const password = (await hutch.passwords())['ada'] ?? ''
  const ada = await logInAs(hutch.url, 'ada', password)
  const launch = async (profile: string) => await ada.launch({ profile, flavour: 'small', title: profile })
  const [good, refused, broken] = [await launch('good'), await launch('refused'), await launch('broken')]
  await ada.enter(good)
  for (const { id } of [refused, broken]) {
    await until('it has ended', async () => (await ada.state(id)) === 'ended', patience)
  }
  const ids = { good: good.id, refused: refused.id, broken: broken.id }
  const shown = [{ what: 'the password', value: password }, ...(await useTicketAndToken(hutch, ada, good))]
  busy = { hutch, ada, ids, shown }
})

test.after.always(async (t) => {
  t.timeout(120_000)
  await opened.disposeAsync()
})

function site(): Busy {
  if (busy === undefined) throw new Error('the hub did not start')
  return busy
}

/** Goes in with a ticket that is seen, and asks with a token. */
async function useTicketAndToken(hutch: RunningHutch, ada: Scientist, launched: Launched): Promise<Secret[]> {
  const browser = ada.jar.copy()
  browser.delete('hutch-entry')
  const page = await browser.open(launched.url)
  const ticket = /name="ticket" value="([^"]+)"/.exec(page.text)?.[1] ?? ''
  const action = /<form id="enter"[^>]*action="([^"]+)"/.exec(page.text)?.[1] ?? ''
  const entered = await browser.open(action, {
    method: 'POST',
    form: { ticket, next: new URL(launched.url).pathname },
    headers: { origin: hutch.url, 'sec-fetch-site': 'same-origin' },
  })
  const made = await control(hutch.state, 'control.sock', '/control/token', { user: 'ada', scopes: ['read:servers'] })
  const { token } = JSON.parse(made) as { token: string }
  const asked = await fetch(`${hutch.url}/hub/api/v1/environments`, { headers: { authorization: `Bearer ${token}` } })
  if (entered.status !== 200 || asked.status !== 200) throw new Error(`${entered.status}, ${asked.status}`)
  // The demo provider's interaction is in its address, too: its secret is the signature.
  const names = browser.names().filter((name) => name !== 'hutch-demo-interaction')
  const cookies = names.map((name) => ({ what: `the cookie ${name}`, value: browser.cookie(name) ?? '' }))
  return [{ what: 'the ticket', value: ticket }, { what: 'the token', value: token }, ...cookies]
}

test('the hub counts launches, states, lag, observations and requests', async (t) => {
  const { hutch } = site()
  const text = await control(hutch.state, 'control.sock', '/metrics')
  const value = (series: string): number => {
    const line = text.split('\n').find((each) => each.startsWith(`${series} `))
    return line === undefined ? Number.NaN : Number(line.slice(series.length + 1))
  }
  for (const [series, wanted] of [
    ['hutch_launches_total{spawner="fake",result="ready"}', 1],
    ['hutch_launches_total{spawner="fake",result="launchRefused"}', 1],
    ['hutch_launches_total{spawner="fake",result="failed"}', 1],
    ['hutch_launch_seconds_count{stage="accepted",spawner="fake"}', 2],
    ['hutch_launch_seconds_count{stage="ready",spawner="fake"}', 1],
    ['hutch_environments{spawner="fake",state="ready"}', 1],
    ['hutch_environments_ended_total{spawner="fake",reason="launchRefused"}', 1],
    ['hutch_environments_ended_total{spawner="fake",reason="failed"}', 1],
    ['hutch_reconciles{spawner="fake"}', 1],
    ['hutch_logins_total{provider="demo",result="succeeded"}', 1],
    ['hutch_http_requests_total{method="POST",route="/hub/api/v1/environments",status="201"}', 3],
  ] as const) {
    t.is(value(series), wanted, series)
  }
  // The one that ends at once may be seen running or not.
  t.true(value('hutch_launch_seconds_count{stage="running",spawner="fake"}') >= 1)
  t.true(value('hutch_reconcile_lag_seconds_count{spawner="fake"}') >= 3)
  t.true(value('hutch_reconcile_lag_seconds_sum{spawner="fake"}') >= 0)
  t.true(value('hutch_launch_seconds_sum{stage="ready",spawner="fake"}') >= 0.3, 'the backend took that long')
  for (const spawner of ['fake', 'here']) {
    const age = value(`hutch_observation_age_seconds{spawner="${spawner}"}`)
    t.true(age >= 0 && age < 120, `${spawner}: ${age}`)
  }
  t.true(value('hutch_backend_request_seconds_count{spawner="fake",action="ensure",result="ok"}') >= 2)
  conventional(t, text)
})

test('the proxy counts requests, bytes and what it follows', async (t) => {
  const { hutch } = site()
  const text = await control(hutch.state, 'proxy.sock', '/metrics')
  for (const series of [
    /^hutch_proxy_requests_total\{kind="http",status="200",to="hub"\} [1-9]/m,
    /^hutch_proxy_requests_total\{kind="http",status="200",to="environment"\} [1-9]/m,
    /^hutch_proxy_request_seconds_bucket\{le="\+Inf"\} [1-9]/m,
    /^hutch_proxy_sent_bytes_total [1-9]/m,
    /^hutch_proxy_routes 1$/m,
    /^hutch_proxy_feed_connected 1$/m,
    /^hutch_proxy_table_age_seconds \d/m,
  ]) {
    t.regex(text, series)
  }
  conventional(t, text)
})

/** https://prometheus.io/docs/practices/naming/: base units as suffix, _total for what only grows, help for all. */
function conventional(t: ExecutionContext, text: string): void {
  // Those of Node and the process are named by the library.
  const types = [...text.matchAll(/^# TYPE (hutch_\S+) (\S+)$/gm)].map(([, name = '', type = '']) => ({ name, type }))
  t.true(types.length > 5)
  for (const { name, type } of types) {
    t.regex(name, /^[a-z][a-z0-9_]*$/)
    t.true(text.includes(`# HELP ${name} `), name)
    t.is(name.endsWith('_total'), type === 'counter', `${name} is a ${type}`)
    t.notRegex(name, /_(?:ms|milliseconds|minutes|kb|mb|megabytes|percent)(?:_|$)/)
    if (type === 'histogram') t.regex(name, /_(?:seconds|bytes)$/)
  }
  for (const id of text.matchAll(/\{[^}]*\}/g)) t.notRegex(id[0], /\/user\/\w/, 'no series for each environment')
}

test('lines are JSON with request and environment; no secret is in any log', async (t) => {
  const { hutch, ada, ids, shown } = site()
  const id = ids.good
  const page = await ada.jar.open(`${hutch.url}/user/ada/${id}/page`)
  t.is(page.status, 200)
  const missing = await fetch(`${hutch.url}/hub/api/v1/environments?ticket=a-secret-in-a-query`)
  const requestId = missing.headers.get('x-request-id') ?? ''
  t.is(missing.status, 401)
  t.is((JSON.parse(await missing.text()) as { instance: string }).instance, requestId)

  const proxyLog = join(hutch.state, 'logs', 'proxy.log')
  const ofProxy = async (): Promise<string> => await readFile(proxyLog, 'utf8')
  await until('the proxy has logged it', async () => (await ofProxy()).includes(`/user/ada/${id}/page`), patience)
  await until('the hub has logged it', () => hutch.output().includes(requestId), patience)
  const hubLog = hutch
    .output()
    .split('\n')
    .filter((line) => line.startsWith('{'))
  const lines = hubLog.map((line) => JSON.parse(line) as Record<string, unknown>)
  for (const line of lines) {
    t.is(typeof line['level'], 'string')
    t.false(Number.isNaN(Date.parse(String(line['time']))))
  }
  t.like(
    lines.find(({ request, msg }) => request === requestId && msg === 'request'),
    {
      method: 'GET',
      path: '/hub/api/v1/environments',
      status: 401,
    },
  )
  for (const environment of Object.values(ids)) {
    t.truthy(lines.find((line) => line['environment'] === environment && line['msg'] === 'request'))
  }
  for (const ended of [ids.refused, ids.broken]) {
    const told = lines.filter((line) => line['environment'] === ended && line['msg'] !== 'request')
    t.true(told.length >= 2, 'that it was wanted, and that it ended')
  }
  const inProxy = (await ofProxy()).split('\n').filter((line) => line !== '')
  const entries = inProxy.map((line) => JSON.parse(line) as Record<string, unknown>)
  t.truthy(entries.find((line) => line['environment'] === id && line['request'] !== undefined))

  const everything = [...hubLog, ...inProxy].join('\n')
  const secrets = [...shown, ...(await keysOf(hutch.state, Object.values(ids)))]
  for (const { what, value } of secrets) {
    t.true(value.length > 8, what)
    // What is signed holds parts that are secrets by themselves.
    for (const part of [value, ...value.split('.').filter(({ length }) => length > 20)]) {
      t.false(everything.includes(part), `${what} is in a log`)
    }
  }
  t.false(everything.includes('a-secret-in-a-query'))
})

/** The installation's keys and those of the environments, in every form in which they could be written. */
async function keysOf(state: string, ids: readonly string[]): Promise<Secret[]> {
  const inFolder = async (folder: string, wanted: RegExp): Promise<string[]> =>
    (await readdir(join(state, folder))).filter((name) => wanted.test(name)).map((name) => join(state, folder, name))
  const master = await readFile(join(state, 'secrets', 'master.key'))
  const found = forms('master.key', master)
  const files = await inFolder('run', /\.(?:key|secret)$/)
  if (files.length < 3) throw new Error(`only ${files.join(', ')}`)
  for (const file of files) {
    const text = (await readFile(file, 'utf8')).trim()
    found.push({ what: file, value: text }, ...forms(file, Buffer.from(text, 'base64url')))
  }
  const agentsKey = Buffer.from((await readFile(join(state, 'run', 'proxy-agents.key'), 'utf8')).trim(), 'base64url')
  return [...found, ...ids.flatMap((id) => forms(`the key of ${id}`, agentKey(agentsKey, id)))]
}

function forms(what: string, bytes: Buffer): Secret[] {
  return (['base64', 'base64url', 'hex'] as const).map((form) => ({
    what: `${what} in ${form}`,
    value: bytes.toString(form).replace(/=+$/, ''),
  }))
}
