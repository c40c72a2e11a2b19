/** 10,000 wrong passwords and 10,000 forged callbacks: who guesses is stopped, and everybody else logs in as always. */
import test, { type ExecutionContext } from 'ava'
import { configurationSchema } from '../../config/schema.ts'
import type { AuthenticatorPlugin } from '../../hub/plugins/plugin.ts'
import { createJar, type Page } from '../support/browser-jar.ts'
import { startHubAndProvider, type TestHub } from '../support/identity.ts'

const many = 10_000
const together = 16
const plugin = { package: '/nowhere', options: {} }
const { login } = configurationSchema.parse({
  flavours: {},
  profiles: {},
  spawners: {},
  login: { passwords: { local: { type: 'plugin', title: 'Facility', plugin } } },
})

/** ada's password is “secret”. */
function counted(): AuthenticatorPlugin & { asked: number } {
  const self = {
    asked: 0,
    authenticate({ name = '', password }: Readonly<Record<string, string>>) {
      self.asked += 1
      return Promise.resolve(password === 'secret' ? { subject: name, name } : undefined)
    },
  }
  return self
}

async function inTurns(ask: (number: number) => Promise<Page>): Promise<Map<number, number>> {
  const statuses = new Map<number, number>()
  let next = 0
  const run = async (): Promise<void> => {
    while (next < many) {
      const page = await ask(next++)
      if (page.status === 429 && !/^\d+$/.test(page.headers.get('retry-after') ?? '')) throw new Error('no Retry-After')
      statuses.set(page.status, (statuses.get(page.status) ?? 0) + 1)
    }
  }
  await Promise.all(Array.from({ length: together }, run))
  return statuses
}

const type = (hub: TestHub, name: string, password: string, from: string): Promise<Page> =>
  createJar().ask(`${hub.url}/hub/login/local`, {
    method: 'POST',
    form: { name, password },
    headers: { 'x-forwarded-for': from },
  })

async function refusals(t: ExecutionContext, hub: TestHub): Promise<number> {
  const { count } = await hub.db
    .selectFrom('audit')
    .select((row) => row.fn.countAll<number>().as('count'))
    .where('did', '=', 'login.refused')
    .executeTakeFirstOrThrow()
  t.log(`${count} lines in the trail`)
  return count
}

test.serial('10,000 wrong passwords from one address, for one person and for many', async (t) => {
  t.timeout(900_000)
  const authenticator = counted()
  const { hub } = await startHubAndProvider(t, {
    login: { passwords: login.passwords },
    authenticators: { local: authenticator },
  })
  const one = await inTurns((number) => type(hub, 'ada', `guess ${number}`, '192.0.2.66'))
  // What is under way at once may be a few more than the limit.
  t.true((one.get(403) ?? 0) <= 10 + together, JSON.stringify([...one]))
  t.is((one.get(403) ?? 0) + (one.get(429) ?? 0), many)
  t.true(authenticator.asked <= 10 + together)
  t.is((await type(hub, 'ada', 'secret', '192.0.2.7')).status, 303, 'she herself gets in from elsewhere')
  authenticator.asked = 0
  const all = await inTurns((number) => type(hub, `user${number}`, 'guess', '203.0.113.9'))
  t.true((all.get(403) ?? 0) <= 30 + together, JSON.stringify([...all]))
  t.true((await refusals(t, hub)) <= 2 * together + 45)
})

test.serial('10,000 wrong passwords for one person from 10,000 addresses', async (t) => {
  t.timeout(900_000)
  const authenticator = counted()
  const { hub } = await startHubAndProvider(t, {
    login: { passwords: login.passwords },
    authenticators: { local: authenticator },
  })
  const before = process.memoryUsage().heapUsed
  const from = (number: number): string => `10.${number >> 16}.${(number >> 8) & 255}.${number & 255}`
  const statuses = await inTurns((number) => type(hub, 'ada', `guess ${number}`, from(number)))
  t.true((statuses.get(403) ?? 0) <= 60 + together, JSON.stringify([...statuses]))
  t.true(authenticator.asked <= 60 + together, 'the directory is left alone, so it locks nobody')
  const spread = await inTurns((number) => type(hub, `other${number}`, 'guess', from(20_000 + number)))
  t.is(spread.get(403), many, 'each of them tried once')
  t.is((await type(hub, 'marie', 'secret', '192.0.2.7')).status, 303)
  const grownMiB = (process.memoryUsage().heapUsed - before) / 2 ** 20
  t.log(`the heap grew by ${Math.round(grownMiB)} MiB`)
  t.true(grownMiB < 200)
})

test.serial('10,000 forged callbacks: the provider is asked nothing, and others log in', async (t) => {
  t.timeout(900_000)
  const { hub, provider } = await startHubAndProvider(t)
  const forged = (number: number): Promise<Page> =>
    createJar().ask(`${hub.url}/hub/login/site/callback?code=x${number}&state=y${number}`, {
      headers: { 'x-forwarded-for': '192.0.2.66' },
    })
  const statuses = await inTurns(forged)
  t.true((statuses.get(403) ?? 0) <= 30 + together, JSON.stringify([...statuses]))
  t.is((statuses.get(403) ?? 0) + (statuses.get(429) ?? 0), many)
  t.false(provider.asked.includes('POST /token'))
  t.is((await createJar().open(`${hub.url}/hub/login/site?next=/hub/who`)).status, 200)
  t.true((await refusals(t, hub)) <= 30 + together)
})
