/** Clocks that differ: a little is borne, much is refused with the reason, and nobody is let in on a stale answer. */
import test from 'ava'
import { createJar } from '../support/browser-jar.ts'
import { startHubAndProvider } from '../support/identity.ts'

const seconds = (): number => Math.floor(Date.now() / 1000)

interface Row {
  readonly token: string
  readonly claims: () => Record<string, unknown>
  /** Absent: accepted. */
  readonly refused?: string
}
const rows: readonly Row[] = [
  { token: 'issued 45 s from now', claims: () => ({ iat: seconds() + 45 }) },
  { token: 'issued 3 min from now', claims: () => ({ iat: seconds() + 180 }), refused: 'expired' },
  { token: 'issued 9 min ago', claims: () => ({ iat: seconds() - 540 }) },
  { token: 'issued 12 min ago', claims: () => ({ iat: seconds() - 720 }), refused: 'expired' },
  { token: 'that expired 3 min ago', claims: () => ({ exp: seconds() - 180 }), refused: 'expired' },
  { token: 'not valid before 3 min from now', claims: () => ({ nbf: seconds() + 180 }), refused: 'expired' },
  { token: 'whose iat is a text', claims: () => ({ iat: String(seconds()) }), refused: 'expired' },
  { token: 'whose exp is a list', claims: () => ({ exp: [seconds() + 60] }), refused: 'expired' },
]

for (const { token, claims, refused } of rows) {
  test(`an ID token ${token} is ${refused ? 'refused' : 'accepted'}`, async (t) => {
    const { hub, provider } = await startHubAndProvider(t)
    provider.forge.token = async (answer) => ({
      ...answer,
      id_token: await provider.resign(answer.id_token, claims()),
    })
    const page = await createJar().open(`${hub.url}/hub/login/site?next=/hub/who`)
    t.is(page.status, refused ? 403 : 200, page.text)
    t.deepEqual(hub.refusals, refused ? [refused] : [])
  })
}

for (const [offsetMs, refused] of [
  [45_000, false],
  [-45_000, false],
  [12 * 60_000, true],
  [-12 * 60_000, true],
] as const) {
  test(`a hub whose clock is ${offsetMs / 1000} s off ${refused ? 'refuses' : 'accepts'}, and says so`, async (t) => {
    const { hub } = await startHubAndProvider(t)
    hub.clock.offsetMs = offsetMs
    const page = await createJar().open(`${hub.url}/hub/login/site?next=/hub/who`)
    t.is(page.status, refused ? 403 : 200, page.text)
    if (refused) t.regex(page.text, /sent an answer that can not be trusted/)
  })
}

test('a thousand wrong callbacks at once: a few are looked at, the rest are turned away unlooked, and the trail stays short', async (t) => {
  const { hub, provider } = await startHubAndProvider(t)
  const before = provider.asked.length
  const statuses = new Map<number, number>()
  const one = async (): Promise<void> => {
    const answer = await fetch(`${hub.url}/hub/login/site/callback?code=x&state=y`, { redirect: 'manual' })
    await answer.arrayBuffer()
    statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1)
    if (answer.status === 429 && answer.headers.get('retry-after') === null) t.fail('a refusal without Retry-After')
  }
  for (let round = 0; round < 10; round += 1) await Promise.all(Array.from({ length: 100 }, one))
  t.is((statuses.get(403) ?? 0) + (statuses.get(429) ?? 0), 1_000)
  // Those that come in one moment are counted after they were looked at.
  t.true((statuses.get(403) ?? 0) <= 130, `${statuses.get(403)}`)
  t.true(provider.asked.length - before <= 1, 'the provider is not asked for each')
  const lines = await hub.db.selectFrom('audit').select('id').execute()
  t.true(lines.length <= 130, `${lines.length} lines`)
  t.is((await createJar().ask(`${hub.url}/hub/login`)).status, 200)
})
