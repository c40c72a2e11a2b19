/** Links from a facility's own data portal: they fill in the form and grant nothing; and the way to a dataset and back. */
import test from 'ava'
import { ask } from '../support/ask.ts'
import { fakeHub } from '../support/fakeHub.ts'

const dataset = '20.500.12345/fa0'
const direct = `/hub/launch?profile=notebook&proposal=20261042&dataset=${dataset}&notebook=processed/plot.ipynb`

test('a link fills in profile, proposal, dataset and notebook; nothing is launched by it', async (t) => {
  const hub = await fakeHub(t)
  const { status, text } = await ask(hub, { as: 'alice', path: direct })
  t.is(status, 200)
  t.regex(text, /value="notebook" required checked/)
  t.regex(text, /name="proposals" value="20261042" checked/)
  t.regex(text, /name="datasets" value="20261042\/20\.500\.12345\/fa0" checked/)
  t.regex(text, /name="notebook" value="processed\/plot\.ipynb" checked/)
  t.false(text.includes('id="notes"'))
  t.deepEqual(hub.environments.live(), [])
})

test('a link survives the login whole', async (t) => {
  const hub = await fakeHub(t)
  const { status, headers } = await ask(hub, { path: direct, headers: { accept: 'text/html' } })
  t.is(status, 303)
  const login = new URL(headers.location ?? '', hub.url)
  t.is(login.pathname, '/hub/login')
  t.is(login.searchParams.get('next'), direct)
})

const hostile: readonly (readonly [what: string, query: string, note: RegExp, absent: RegExp])[] = [
  ['a foreign profile', 'profile=matlab', /“matlab” is not offered to you here/, /value="matlab"/],
  ['a size that it has not', 'profile=terminal&flavour=huge', /Terminal has no size “huge”/, /value="huge"/],
  ['a proposal that is not mine', 'proposal=20269999', /no proposal “20269999” that is open to you/, /"20269999"/],
  ['a proposal that climbs', 'proposal=../../etc', /no proposal “\.\.\/\.\.\/etc”/, /value="\.\.\//],
  [
    'a dataset that is not there',
    'proposal=20261042&dataset=20.500/x',
    /no dataset “20261042\/20\.500\/x”/,
    /name="datasets"/,
  ],
  ['a dataset of a foreign proposal', 'proposal=20269999&dataset=1', /no proposal “20269999”/, /name="datasets"/],
  [
    'a notebook that climbs',
    'notebook=../../.bashrc',
    /“\.\.\/\.\.\/\.bashrc” can&#39;t be opened first/,
    /name="notebook"/,
  ],
  ['an encoded notebook', 'notebook=%252e%252e/x', /not an encoded one/, /name="notebook"/],
  ['an absolute notebook', 'notebook=/etc/passwd', /can&#39;t be opened first/, /name="notebook"/],
  ['markup', 'profile=%3Cscript%3Ealert(1)%3C/script%3E', /“&lt;script&gt;/, /<script>alert/],
  ['another direction', 'profile=a%E2%80%AEb', /“a\uFFFDb” is not offered/, /\u202E/],
  ['a novel', `profile=${'x'.repeat(900)}`, /“x{60}…”/, /x{65}/],
]
for (const [what, query, note, absent] of hostile) {
  test(`a link with ${what}: said, and left out`, async (t) => {
    const hub = await fakeHub(t)
    const { status, text } = await ask(hub, { as: 'alice', path: `/hub/launch?${query}` })
    t.is(status, 200)
    const [, notes = ''] = /id="notes">([\s\S]*?)<\/div>/.exec(text) ?? []
    t.regex(notes, note)
    t.notRegex(text.replace(notes, ''), absent)
  })
}

test('a link opens nothing to somebody else: neither the proposal nor its datasets', async (t) => {
  const hub = await fakeHub(t)
  const { text } = await ask(hub, { as: 'bob', path: direct })
  t.regex(text, /no proposal “20261042” that is open to you/)
  t.false(text.includes('scan 00'))
  const page = await ask(hub, { as: 'bob', path: '/hub/proposals/20261042', headers: { accept: 'text/html' } })
  t.is(page.status, 403)
  t.false(page.text.includes('scan 00'))
  const api = await ask(hub, { as: 'bob', path: '/hub/api/v1/proposals/20261042/datasets' })
  t.is(api.status, 403)
})

test('datasets are a page at a time, found by name, and the form comes back as it was', async (t) => {
  const hub = await fakeHub(t)
  const state = 'profile=notebook&flavour=large&title=First+look&proposals=20261042'
  const chosen = `datasets=${encodeURIComponent(`20261042/${dataset}`)}`
  const page = async (more: string) =>
    (await ask(hub, { as: 'alice', path: `/hub/proposals/20261042?${state}&${more}` })).text
  const first = await page('')
  t.is(first.match(/type="checkbox" name="datasets"/g)?.length, 20)
  t.regex(first, /1–20 of 47/)
  const second = await page(`offset=20&${chosen}`)
  t.regex(second, /21–40 of 47/)
  t.regex(second, /type="hidden" name="datasets" value="20261042\/20\.500\.12345\/fa0"/, 'what was ticked before stays')
  for (const field of ['profile" value="notebook', 'flavour" value="large', 'title" value="First look']) {
    t.true(second.includes(`type="hidden" name="${field}"`), field)
  }
  t.is((await page('find=0047')).match(/type="checkbox" name="datasets"/g)?.length, 1)
  t.regex(await page('find=nothing'), /No dataset of this proposal matches/)
  const api = await ask(hub, { as: 'alice', path: '/hub/api/v1/proposals/20261042/datasets?limit=5&offset=45' })
  t.is((JSON.parse(api.text) as { items: unknown[]; total: number }).items.length, 2)
})

test('what is ticked is what is launched: the dataset, and its proposal with it', async (t) => {
  const hub = await fakeHub(t)
  const fields = {
    profile: 'notebook',
    'flavour:notebook': 'small',
    datasets: `20261042/${dataset}`,
    notebook: 'a/b.ipynb',
  }
  const { status } = await ask(hub, {
    as: 'alice',
    method: 'POST',
    path: '/hub/launch',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams(fields).toString(),
  })
  t.is(status, 303)
  const [environment] = hub.environments.live()
  t.like(environment?.choices, { proposals: ['20261042'], datasets: [`20261042/${dataset}`], notebook: 'a/b.ipynb' })
})
