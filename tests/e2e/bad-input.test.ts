/** What nobody should send, to the whole system at once: the real hub and proxy, two people, one table. */
import { join } from 'node:path'
import { writeFile } from 'node:fs/promises'
import test, { type ExecutionContext } from 'ava'
import { loadSecrets } from '../../hub/setup/secrets.ts'
import { nonceHash, signEntry, signTicket, type Entry } from '../../proxy/ticket.ts'
import { ask, type Answer } from '../support/ask.ts'
import { atDoor, inside, rows, type World } from '../support/bad-input.ts'
import { createJar } from '../support/browser-jar.ts'
import { hostileConfiguration } from '../support/hostile-application.ts'
import { startHutch } from '../support/hutch.ts'
import { logInAs } from '../support/scientist.ts'
import { temporaryFolder } from '../support/temporary.ts'

test('each is refused with a sentence, and the hub goes on', async (t) => {
  const world = await begin(t)
  const before = await titles(world)
  const wrong: string[] = []
  for (const { name, send, status, says } of rows) {
    const answer = await ask({ url: world.hutch.url }, send(world))
    const said = sentence(answer)
    const isRight = answer.status === status && says.test(said) && !/\bat .*\.(?:ts|js):\d+/.test(answer.text)
    if (!isRight) wrong.push(`${name}: ${answer.status} ${said.slice(0, 300)}`)
    t.is((await ask({ url: world.hutch.url }, { path: '/hub/health' })).status, 200, `after ${name}`)
  }
  t.deepEqual(wrong, [])
  t.deepEqual(await titles(world), before, 'nothing changed')
  const good = await ask({ url: world.hutch.url }, inside(({ entry }) => entry())(world))
  t.regex(good.headers.location ?? '', /terminal\/$/, 'what all of it imitates does open the environment')
  t.deepEqual(
    world.hutch
      .output()
      .split('\n')
      .filter((line) => /"level":"(?:error|fatal)"/.test(line)),
    [],
  )
})

/** What a person or a program is told: a problem's detail, or the text of a page. */
function sentence({ headers, text }: Answer): string {
  if (headers['content-type']?.includes('problem+json') === true) return String((JSON.parse(text) as Problem).detail)
  return text
    .replaceAll(/<style>[^]*?<\/style>|<[^>]*>/g, ' ')
    .replaceAll('&#39;', "'")
    .replaceAll(/\s+/g, ' ')
}

interface Problem {
  readonly detail?: string
}

async function titles({ ada, hutch }: World): Promise<unknown> {
  const { status, body } = await ada.api<{ items: { id: string; title: string; state: string }[] }>(
    'GET',
    '/environments',
  )
  const marie = await logInAs(hutch.url, 'marie', (await hutch.passwords())['marie'] ?? '')
  const hers = await marie.api<typeof body>('GET', '/environments')
  return [status, ...[...body.items, ...hers.body.items].map(({ id, title, state }) => [id, title, state])]
}

async function begin(t: ExecutionContext): Promise<World> {
  const folder = await temporaryFolder(t)
  const [file, state] = [join(folder, 'hutch.json'), join(folder, 'state')]
  await writeFile(file, hostileConfiguration())
  const hutch = await startHutch(t, { state, args: ['--config', file] })
  const passwords = await hutch.passwords()
  const { admissionKey } = await loadSecrets(state)
  const usedCallback = await callbackOf(hutch.url, passwords['ada'] ?? '')
  const ada = await logInAs(hutch.url, 'ada', passwords['ada'] ?? '')
  const marie = await logInAs(hutch.url, 'marie', passwords['marie'] ?? '')
  const launched = { profile: 'terminal', flavour: 'small' }
  const [own, maries] = [await ada.launch(launched), await marie.launch(launched)]
  await ada.enter(own)
  await marie.enter(maries)
  const { login: mariesLogin } = claimsOf(marie.jar.cookie('hutch-entry'))
  const good = claimsOf(ada.jar.cookie('hutch-entry'))
  const nonce = 'n'.repeat(43)
  const entry: World['entry'] = (changes = {}, key = admissionKey) => signEntry(key, { ...good, ...changes })
  const ticket: World['ticket'] = (changes = {}, key = admissionKey) => {
    const now = Date.now()
    const times = { issuedAt: now, expiresAt: now + 30_000, entryExpiresAt: now + 60_000 }
    return signTicket(key, { ...good, id: 'made-here', nonceHash: nonceHash(nonce), ...times, ...changes })
  }
  const usedTicket = ticket({ id: 'used' })
  const world = { hutch, ada, own, maries, mariesLogin, usedCallback, nonce, usedTicket, ticket, entry }
  t.is((await ask({ url: hutch.url }, atDoor(() => usedTicket)(world))).status, 303, 'a good ticket opens it')
  return world
}

function claimsOf(entry = ''): Entry {
  return JSON.parse(Buffer.from(entry.split('.')[0] ?? '', 'base64url').toString()) as Entry
}

/** Logs in by hand, and keeps what brought the provider's answer: the address and the cookie that it goes with. */
async function callbackOf(url: string, password: string): Promise<World['usedCallback']> {
  const jar = createJar()
  const page = await jar.open(`${url}/hub/login/demo`)
  const [, action = ''] = /<form[^>]*action="([^"]+)"/.exec(page.text) ?? []
  const back = await jar.open(new URL(action, page.url).href, {
    method: 'POST',
    form: { name: 'ada', password },
    until: ({ pathname }) => pathname.endsWith('/callback'),
  })
  const name = jar.names().find((each) => each.startsWith('hutch-pending-')) ?? ''
  const cookie = `${name}=${jar.cookie(name) ?? ''}`
  const home = await jar.open(back.url)
  if (home.status !== 200) throw new Error(`the login ended with ${home.status}`)
  const callback = new URL(back.url)
  return { path: callback.pathname + callback.search, cookie }
}
