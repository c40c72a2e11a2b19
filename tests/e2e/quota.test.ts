/** Limits as people meet them, on the real hub: the launch page, the refusal, one's usage, the file, the pages. */
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'
import { type FakeBackend, startFakeBackend } from '../support/fakeBackend.ts'
import { fakeSite } from '../support/fakeSite.ts'
import { runHutch, type RunningHutch } from '../support/hutch.ts'
import { logInAs, type Scientist } from '../support/scientist.ts'
import { until as waitUntil } from '../support/until.ts'

const fakeSpawner = fileURLToPath(new URL('../support/fakeSpawner.ts', import.meta.url))
const run = promisify(execFile)
const opened = new AsyncDisposableStack()
let site:
  | { hutch: RunningHutch; folder: string; file: string; ada: Scientist; marie: Scientist; backend: FakeBackend }
  | undefined

test.before(async (t) => {
  t.timeout(300_000)
  const backend = await startFakeBackend()
  opened.defer(() => backend.close())
  const folder = await mkdtemp(join(tmpdir(), 'hutch-'))
  opened.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  const fake = {
    title: 'Lab',
    kind: 'terminal',
    flavours: ['small', 'large', 'huge'],
    longest: '20h',
    on: { fake: {} },
  }
  const homeFile = join(folder, 'home')
  await writeFile(homeFile, '{"usedBytes": 1073741824, "limitBytes": 10737418240}')
  const more = {
    flavours: {
      small: { title: 'Small', cpu: 1, memory: '1GiB', walltime: '8h' },
      large: { title: 'Large', cpu: 8, memory: '16GiB', walltime: '8h' },
      huge: { title: 'Huge', cpu: 16, memory: '16GiB', walltime: '8h' },
    },
    profiles: { lab: fake },
    spawners: { fake: { type: fakeSpawner, url: backend.url, capacity: { cpu: 9, memory: '64GiB' } } },
    homeStorage: { from: 'command', command: ['cat', homeFile], every: '1ms' },
    // The demo has no administrator.
    roles: { chief: { like: 'admin', users: ['marie'] } },
  }
  const args = await fakeSite({ folder, backend: backend.url, more })
  const hutch = await runHutch({ state: join(folder, 'state'), args })
  opened.defer(async () => void (await hutch.stop()))
  const passwords = await hutch.passwords()
  const ada = await logInAs(hutch.url, 'ada', passwords['ada'] ?? '')
  const marie = await logInAs(hutch.url, 'marie', passwords['marie'] ?? '')
  site = { hutch, folder, file: args[1] ?? '', ada, marie, backend }
})

test.after.always(async (t) => {
  t.timeout(120_000)
  await opened.disposeAsync()
})

async function limits(...args: readonly string[]): Promise<string> {
  const { hutch, file } = site!
  const program = join(import.meta.dirname, '../../bin/hutch.js')
  const { stdout } = await run(process.execPath, [program, 'limits', ...args, '--config', file, '--state', hutch.state])
  return stdout
}

interface Refused {
  readonly type: string
  readonly detail: string
}

test.serial('a file is compared, applied and taken back; what is written on the page stays', async (t) => {
  t.timeout(180_000)
  const { folder, marie } = site!
  await marie.api('POST', '/limits', { for: 'user:ada', limit: 'gpus', most: 1, note: 'from the page' })
  const file = join(folder, 'site.yaml')
  await writeFile(
    file,
    `limits:
  - { for: everyone, limit: cpus, most: 4 }
  - { for: everyone, limit: cpuHours, per: month, most: 100 }
  - { for: 'proposal:*', limit: cpuHours, per: ever, most: shifts * 100, together: true }
`,
  )
  const dry = await limits('diff', file)
  t.is(dry.trim().split('\n').length, 3)
  t.regex(dry, /^\+ for: everyone, limit: cpus, most: 4$/m)
  t.is(await limits('apply', '--dry-run', file), dry)
  t.is(await limits('apply', file), dry)
  t.is(await limits('diff', file), '')
  await writeFile(
    file,
    'limits:\n  - { for: everyone, limit: cpus, most: 4 }\n  - { for: everyone, limit: cpuHours, per: month, most: 100 }\n',
  )
  t.regex(
    await limits('apply', file),
    /^- for: proposal:\*, limit: cpuHours, most: shifts \* 100, per: ever, together: true$/m,
  )
  const { body } = await marie.api<{ items: { source: string }[] }>('GET', '/limits')
  t.deepEqual(body.items.map(({ source }) => source).toSorted(), ['configuration', 'page', 'site', 'site'])
})

const wrong: readonly (readonly [string, object, RegExp])[] = [
  ['negative', { for: 'everyone', limit: 'cpus', most: -1 }, /most: is no amount for cpus, such as 16/],
  ['absurd', { for: 'everyone', limit: 'cpus', most: 1e300 }, /most/],
  ['a unit that is missing', { for: 'everyone', limit: 'memory', most: 4 }, /such as 64GiB/],
  ['half an environment', { for: 'everyone', limit: 'environments', most: 1.5 }, /most/],
  ['nobody', { for: 'group:', limit: 'cpus', most: 1 }, /for: is none of everyone/],
  ['unknown', { for: 'everyone', limit: 'luck', most: 1 }, /limit: is none of cpus/],
  ['a field of no proposal', { for: 'everyone', limit: 'cpus', most: 'shifts * 2' }, /only the limit of a proposal/],
  ['code', { for: 'proposal:*', limit: 'cpus', most: 'process.exit() * 2' }, /most/],
  ['no period', { for: 'everyone', limit: 'cpuHours', most: 2 }, /per: is missing/],
  [
    'the wrong way round',
    { for: 'everyone', limit: 'cpus', most: 2, from: '2026-12-02', until: '2026-12-01' },
    /until/,
  ],
  ['year 9999', { for: 'everyone', limit: 'cpus', most: 2, until: '9999-01-01' }, /until: is not a day/],
  ['surplus', { for: 'everyone', limit: 'cpus', most: 2, colour: 'red' }, /there is no field "colour"/],
]

test.serial('what is no limit is refused by its field; only administrators write any', async (t) => {
  t.timeout(180_000)
  const { ada, marie } = site!
  for (const [name, entry, words] of wrong) {
    const { status, body } = await marie.api<Refused>('POST', '/limits', entry)
    t.is(status, 400, name)
    t.regex(body.detail, words, name)
  }
  for (const [method, path] of [
    ['GET', '/limits'],
    ['POST', '/limits'],
    ['POST', '/limits/apply'],
    ['DELETE', '/limits/x'],
    ['GET', '/usage/everyone'],
  ] as const) {
    t.is((await ada.api(method, path, method === 'POST' ? {} : undefined)).status, 403, path)
  }
})

test.serial('what does not fit is marked before one tries, refused in a sentence, and shown as bars', async (t) => {
  t.timeout(180_000)
  const { hutch, ada, marie } = site!
  const page = await ada.jar.open(`${hutch.url}/hub/launch`)
  t.regex(page.text, /Over your limit\.<\/strong> You may have at most 4 cores at once, the limit for everyone\./)
  t.is(page.text.match(/Over your limit/g)?.length, 2, 'the small one fits')
  const choices = { profile: 'lab', flavour: 'large', proposals: [] }
  const { status, body } = await ada.api<Refused>('POST', '/environments', choices)
  t.is(status, 409)
  t.is(body.type, 'urn:hutch:problem:overQuota')
  t.regex(body.detail, /this needs 8 cores, and 4 cores are left\. Small would fit, or/)

  const launched = await ada.launch({ profile: 'lab', flavour: 'small', title: 'Fit run' })
  const { body: usage } = await ada.api<{ items: { title: string; used: number; most: number; by: string[] }[] }>(
    'GET',
    '/usage',
  )
  const line = (title: string) => usage.items.find((each) => each.title === title)
  t.like(line('Cores at once'), { used: 1, most: 4, by: ['Fit run'] })
  t.like(line('Core hours, per month'), { used: 8, most: 100 })
  t.regex((await ada.jar.open(`${hutch.url}/hub/usage`)).text, /1 core of 4 cores/)
  const { body: all } = await marie.api<{ items: object[] }>('GET', '/usage/everyone')
  t.like(all.items[0], { user: 'ada', environments: 1, cpus: 1 })
  t.regex((await marie.jar.open(`${hutch.url}/hub/admin/limits`)).text, /Who uses what[\s\S]*ada/)

  await ada.api('POST', `/environments/${launched.id}/stop`)
  await waitUntil('it ended', async () => (await ada.state(launched.id)) === 'ended', { timeoutMs: 60_000 })
  const { body: after } = await ada.api<{ items: { title: string; used: number }[] }>('GET', '/usage')
  const hours = after.items.find((each) => each.title === 'Core hours, per month')
  t.true((hours?.used ?? 8) < 1, 'settled by what it really took')
})

interface Timed {
  readonly state: string
  readonly endsAt: string
  readonly ending?: { cause: string; why: string }
  readonly extension?: { byMs?: number; why?: string; underWay?: boolean }
}

test.serial(
  'its owner makes its time longer, within the limits and what its profile allows; others do not',
  async (t) => {
    t.timeout(180_000)
    const { hutch, ada, marie } = site!
    const { id } = await ada.launch({ profile: 'lab', flavour: 'small', title: 'Long scan' })
    const view = async () => (await ada.api<Timed>('GET', `/environments/${id}`)).body
    await waitUntil('it runs', async () => (await view()).state === 'ready', { timeoutMs: 60_000 })
    const first = await view()
    t.like(first, { ending: { cause: 'walltime' }, extension: { byMs: 8 * 3_600_000 } })
    t.is((await marie.api('POST', `/environments/${id}/extend`, {})).status, 404)
    for (const [body, words] of [
      [{ by: '9h' }, /by 8 h at most/],
      [{ by: 'for ever' }, /by: is no time such as 4h/],
      [{ by: '-4h' }, /by: is no time/],
    ] as const) {
      const refused = await ada.api<Refused>('POST', `/environments/${id}/extend`, body)
      t.is(refused.status, 400)
      t.regex(refused.body.detail, words)
    }
    const page = await ada.jar.open(`${hutch.url}/hub/environments/${id}/time`)
    t.regex(page.text, /Its time is over then\.[\s\S]*Extend by 8 h/)
    // Without scripts: the form as it is drawn.
    const form = { ends: first.endsAt, back: 'time' }
    const headers = { origin: hutch.url, 'sec-fetch-site': 'same-origin' }
    const extend = async () =>
      await ada.jar.open(`${hutch.url}/hub/environments/${id}/extend`, { method: 'POST', form, headers })
    t.is((await extend()).status, 200)
    await waitUntil(
      'the backend has it',
      async () => Date.parse((await view()).endsAt) === Date.parse(first.endsAt) + 8 * 3_600_000,
      { timeoutMs: 60_000 },
    )
    t.is((await extend()).status, 409, 'sent once more, it is not made longer again')
    // 16 h are held: what is left of the profile's 20 h is 4 h; then no more.
    t.is((await view()).extension?.byMs, 4 * 3_600_000)
    await marie.api('POST', '/limits', { for: 'user:ada', limit: 'cpuHours', per: 'month', most: 19 })
    const over = await ada.api<Refused>('POST', `/environments/${id}/extend`, {})
    t.is(over.status, 409)
    t.regex(over.body.detail, /You may have at most 19 core hours per month/)
    t.is((await ada.api('POST', `/environments/${id}/extend`, { by: '90min' })).status, 200)
    await waitUntil('that too', async () => (await view()).extension?.byMs === 2.5 * 3_600_000, { timeoutMs: 60_000 })
    t.is((await ada.api('POST', `/environments/${id}/stay`)).status, 204)
    const { body: usage } = await ada.api<{ items: { title: string; used: number }[] }>('GET', '/usage')
    const hours = usage.items.find((each) => each.title === 'Core hours, per month')?.used ?? 0
    t.true(hours > 17.4 && hours < 17.6, `${hours}`)
    const limits = await marie.api<{ items: { id: string; for: string; limit: string }[] }>('GET', '/limits')
    const mine = limits.body.items.find((each) => each.for === 'user:ada' && each.limit === 'cpuHours')
    await marie.api('DELETE', `/limits/${mine?.id}`)
    await ada.api('POST', `/environments/${id}/stop`)
  },
)

test.serial('more is asked for with a reason and granted; what ended is in the records, and stays', async (t) => {
  t.timeout(180_000)
  const { hutch, ada, marie } = site!
  const until = new Date(Date.now() + 7 * 86_400_000).toISOString().slice(0, 10)
  const wanted = { limit: 'cpus', most: 8, until, reason: 'Beamtime' }
  t.is((await ada.api('POST', '/usage/requests', wanted)).status, 201)
  t.regex((await ada.jar.open(`${hutch.url}/hub/usage`)).text, /waits for an answer/)
  const { body: asked } = await marie.api<{ items: { id: string; user: string }[] }>('GET', '/limits/requests')
  const [request] = asked.items
  t.is(request?.user, 'ada')
  t.is((await ada.api('POST', `/limits/requests/${request?.id}`, { grant: 'yes' })).status, 403)
  t.is((await marie.api('POST', `/limits/requests/${request?.id}`, { grant: 'yes', answer: 'Good luck' })).status, 204)
  const large = await ada.launch({ profile: 'lab', flavour: 'large', title: 'Beamtime' })
  await waitUntil('it is ready', async () => (await ada.state(large.id)) === 'ready', { timeoutMs: 60_000 })
  await ada.api('POST', `/environments/${large.id}/stop`)

  interface Records {
    items: { id: string; user: string; title: string; profile: string; used: { cpuMs: number; measured?: object } }[]
  }
  const own = async () => (await ada.api<Records>('GET', '/records')).body.items
  const packages = async (who: Scientist) =>
    await who.jar.open(`${hutch.url}/hub/api/v1/records/${large.id}/packages`, { headers: { accept: 'text/plain' } })
  await waitUntil('its record is there', async () => (await own()).some(({ id }) => id === large.id), {
    timeoutMs: 60_000,
  })
  t.is((await ada.api('DELETE', `/environments/${large.id}`)).status, 204)
  const measured = { cpuMs: 3_600_000, gpuMs: 0, peakMemoryBytes: 2 ** 30 }
  t.deepEqual((await own()).find(({ id }) => id === large.id)?.used.measured, measured)
  t.is((await packages(ada)).text, 'python numpy 2.3.1\n')
  t.is((await packages(marie)).status, 200, 'an administrator')
  t.is((await ada.api('GET', '/records/nothing/packages')).status, 404)
  t.like(
    (await own()).find(({ id }) => id === large.id),
    { user: 'ada', title: 'Beamtime', profile: 'lab' },
  )
  t.deepEqual((await marie.api<Records>('GET', '/records')).body.items, [], 'everybody sees their own')
  t.is((await ada.api('GET', '/records/everyone')).status, 403)
  t.true((await marie.api<Records>('GET', '/records/everyone?user=ada')).body.items.length >= 2)
  t.regex((await ada.jar.open(`${hutch.url}/hub/records`)).text, /Beamtime/)
  t.regex((await marie.jar.open(`${hutch.url}/hub/admin/records`)).text, /Fit run/)
})

interface Queued {
  readonly state: string
  readonly stage?: string
  readonly position?: number
  readonly startEstimateAt?: string
}

test.serial('a home is shown; one that is full warns, and offers a terminal that leaves it alone', async (t) => {
  t.timeout(180_000)
  const { hutch, folder, ada, backend } = site!
  const usage = async () => (await ada.api<{ home?: { isFull: boolean } }>('GET', '/usage')).body.home
  t.like(await usage(), { usedText: '1 GiB', limitText: '10 GiB', isNearlyFull: false, isFull: false })
  t.regex((await ada.jar.open(`${hutch.url}/hub/usage`)).text, /1 GiB of 10 GiB/)
  t.notRegex((await ada.jar.open(`${hutch.url}/hub/home`)).text, /Rescue terminal/)
  await writeFile(join(folder, 'home'), '{"usedBytes": 10737418240, "limitBytes": 10737418240}')
  t.true((await usage())?.isFull)
  for (const page of ['home', 'launch']) {
    t.regex((await ada.jar.open(`${hutch.url}/hub/${page}`)).text, /Your home is full:<\/strong> 10 GiB of 10 GiB/)
  }
  const headers = { origin: hutch.url, 'sec-fetch-site': 'same-origin' }
  const launched = await ada.jar.open(`${hutch.url}/hub/rescue`, { method: 'POST', form: {}, headers })
  const id = /\/hub\/environments\/([a-z0-9]+)/.exec(launched.url)?.[1] ?? ''
  const made = () => backend.state().environments[id]
  await waitUntil('it is there', () => made() !== undefined, { timeoutMs: 60_000 })
  t.is(made()?.variables['HUTCH_RESCUE'], '1')
  await ada.api('POST', `/environments/${id}/stop`)
  await rm(join(folder, 'home'))
  t.is(await usage(), undefined, 'nobody can tell')
})

test.serial('a full backend has a fair queue, which a restart leaves as it was and a cancel leaves', async (t) => {
  t.timeout(180_000)
  const { hutch, ada, marie } = site!
  // With an end, as what was granted before.
  const until = new Date(Date.now() + 7 * 86_400_000).toISOString()
  for (const name of ['ada', 'marie']) {
    await marie.api('POST', '/limits', { for: `user:${name}`, limit: 'cpus', most: 50, until })
  }
  const seen = async (who: Scientist, id: string) => (await who.api<Queued>('GET', `/environments/${id}`)).body
  const ready = async (who: Scientist, id: string) =>
    await waitUntil('it is ready', async () => (await seen(who, id)).state === 'ready', { timeoutMs: 60_000 })
  const never = await ada.api<Refused>('POST', '/environments', { profile: 'lab', flavour: 'huge', proposals: [] })
  t.is(never.status, 422)
  t.regex(never.body.detail, /never fits where it is to run, which has 9 cores and 64 GiB in all/)

  const first = await marie.launch({ profile: 'lab', flavour: 'large', title: 'First' })
  await ready(marie, first.id)
  const large = await ada.launch({ profile: 'lab', flavour: 'large', title: 'Large' })
  const later = await marie.launch({ profile: 'lab', flavour: 'small', title: 'Later' })
  const small = await ada.launch({ profile: 'lab', flavour: 'small', title: 'Small' })
  const places = async () => [await seen(ada, large.id), await seen(ada, small.id), await seen(marie, later.id)]
  const positions = async () => (await places()).map(({ position }) => position)
  await waitUntil('they wait', async () => (await positions()).every((each) => each !== undefined))
  // Of marie eight cores run, of ada none. A small one would fit, and is not put before the large one; nor is ada's
  // second one before marie's, who has no more then.
  t.deepEqual(await positions(), [1, 3, 2])
  const [head] = await places()
  t.like(head, { state: 'starting', stage: 'queued' })
  const expected = Date.parse(head?.startEstimateAt ?? '') - Date.now()
  t.true(Math.abs(expected - 8 * 3_600_000) < 120_000, 'when what runs ends at the latest')
  t.regex((await ada.jar.open(`${hutch.url}/hub/environments/${large.id}`)).text, /Position 1 in the queue/)

  await hutch.stop()
  const again = await runHutch({
    state: hutch.state,
    args: ['--config', site!.file],
    port: Number(new URL(hutch.url).port),
  })
  opened.defer(async () => void (await again.stop()))
  site = { ...site!, hutch: again }
  await waitUntil('the queue is as it was', async () => (await positions()).join() === '1,3,2', { timeoutMs: 60_000 })

  await ada.api('POST', `/environments/${large.id}/stop`)
  await ready(ada, small.id)
  t.is((await seen(ada, large.id)).state, 'ended')
  await waitUntil('it is the next', async () => (await seen(marie, later.id)).position === 1, { timeoutMs: 60_000 })
  await marie.api('POST', `/environments/${first.id}/stop`)
  await ready(marie, later.id)
  for (const [who, id] of [
    [ada, small.id],
    [marie, later.id],
  ] as const) {
    await who.api('POST', `/environments/${id}/stop`)
  }
})
