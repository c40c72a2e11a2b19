/** Logins by the hub's own form: checked by a plug-in or by a real directory, limited, and never telling more than it must. */
import test, { type ExecutionContext } from 'ava'
import { type Configuration, type ConfigurationInput, configurationSchema } from '../../config/schema.ts'
import { createAuthenticators } from '../../hub/identity/forms/create.ts'
import type { AuthenticatorPlugin } from '../../hub/plugins/plugin.ts'
import { createJar, type Jar, type Page } from '../support/browser-jar.ts'
import { startHub, startHubAndProvider, type TestHub } from '../support/identity.ts'
import { quietLog } from '../support/quiet-log.ts'
import { type Directory, groups, hubDn, people, startDirectory } from '../support/slapd.ts'

type Passwords = Configuration['login']['passwords']

function passwordsOf(
  written: object,
  accounts?: ConfigurationInput['accounts'],
): Pick<Configuration, 'login' | 'accounts'> {
  const rest = { flavours: {}, profiles: {}, spawners: {}, ...(accounts === undefined ? {} : { accounts }) }
  return configurationSchema.parse({ ...rest, login: { passwords: written } })
}

const plugin = { package: '/nowhere', options: {} }
const local: Passwords = passwordsOf({ local: { type: 'plugin', title: 'Facility', administrators: ['7'], plugin } })
  .login.passwords

const ada = { subject: '7', name: 'ada', title: 'Ada Lovelace', groups: ['staff'] }

function knows(
  people: Readonly<Record<string, object>> = { 'ada secret': ada },
): AuthenticatorPlugin & { asked: number } {
  const plugin = {
    asked: 0,
    authenticate({ name, password }: Readonly<Record<string, string>>) {
      plugin.asked += 1
      return Promise.resolve(people[`${name} ${password}`] as typeof ada | undefined)
    },
  }
  return plugin
}

async function hubWith(t: ExecutionContext, authenticator: AuthenticatorPlugin): Promise<TestHub> {
  return await startHub(t, { login: { passwords: local }, authenticators: { local: authenticator } })
}

const type = (hub: TestHub, jar: Jar, form: Record<string, string>, from?: string): Promise<Page> =>
  jar.ask(`${hub.url}/hub/login/local`, {
    method: 'POST',
    form,
    ...(from === undefined ? {} : { headers: { 'x-forwarded-for': from } }),
  })

const who = async (hub: TestHub, jar: Jar) =>
  (JSON.parse((await jar.ask(`${hub.url}/hub/who`)).text) as { visitor: { user: object; groups: string[] } | null })
    .visitor

test('a form: who is right is in, who is wrong reads so and types again', async (t) => {
  const hub = await hubWith(t, knows())
  const jar = createJar()
  const shown = await jar.open(`${hub.url}/hub/login/local?next=/hub/usage`)
  t.is(shown.status, 200)
  t.regex(shown.text, /name="password" type="password" value=""/)
  t.regex(shown.text, /name="next" type="hidden" value="\/hub\/usage"/)
  const wrong = await type(hub, jar, { name: 'ada', password: 'Secret', next: '/hub/usage' })
  t.is(wrong.status, 403)
  t.regex(wrong.text, /does not know this combination/)
  t.regex(wrong.text, /name="name" type="text" value="ada"/)
  t.notRegex(wrong.text, /value="Secret"/)
  t.deepEqual(hub.refusals, ['credentials'])
  t.is(await who(hub, jar), null)

  const right = await type(hub, jar, { name: ' ada ', password: 'secret', next: '/hub/usage' })
  t.is(right.status, 303)
  t.is(right.headers.get('location'), '/hub/usage')
  t.like(await who(hub, jar), { user: { name: 'ada', title: 'Ada Lovelace', admin: true }, groups: ['staff'] })
  const [row] = await hub.db.selectFrom('identities').select(['issuer', 'subject', 'claims']).execute()
  t.like(row, { issuer: 'urn:hutch:login:local', subject: '7' })
  for (const line of hub.lines) t.false(JSON.stringify(line).includes('ecret'), 'no password in the log')
  t.false(JSON.stringify(await hub.db.selectFrom('audit').selectAll().execute()).includes('ecret'), 'nor in the trail')
  t.is((await jar.ask(`${hub.url}/hub/logout`, { method: 'POST', form: {} })).headers.get('location'), '/hub/login')
  t.is(await who(hub, jar), null)
})

test('what is missing, too long or strange is refused, and nobody is asked', async (t) => {
  const authenticator = knows()
  const hub = await hubWith(t, authenticator)
  for (const form of [
    {},
    { name: 'ada' },
    { name: 'ada', password: '' },
    { name: '  ', password: 'secret' },
    { name: 'ada', password: 'x'.repeat(1_025) },
    { name: 'a'.repeat(1_025), password: 'secret' },
    { name: 'ada', password: 'secret\0' },
    { name: 'ada\n', password: 'sec\ret' },
  ] as Record<string, string>[]) {
    t.is((await type(hub, createJar(), form)).status, 400, JSON.stringify(form).slice(0, 60))
  }
  t.is(authenticator.asked, 0)
  const twice = await fetch(`${hub.url}/hub/login/local`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: 'name=ada&name=eve&password=secret',
  })
  t.is(twice.status, 400)
  const foreign = await createJar().ask(`${hub.url}/hub/login/local`, {
    method: 'POST',
    form: { name: 'ada', password: 'secret' },
    headers: { origin: 'https://evil.example.org', 'sec-fetch-site': 'cross-site' },
  })
  t.is(foreign.status, 403)
  for (const next of ['https://evil.example.org/', '//evil.example.org/', '/hub/login/local']) {
    const page = await type(hub, createJar(), { name: 'ada', password: 'secret', next })
    t.is(page.headers.get('location'), '/hub/')
  }
  t.is((await createJar().ask(`${hub.url}/hub/login/local/callback?code=x&state=y`)).status, 404)
  t.is(
    (await createJar().ask(`${hub.url}/hub/login/local/backchannel`, { method: 'POST', form: { logout_token: 'x' } }))
      .status,
    404,
  )
})

test('an authenticator that fails, lies or hangs lets nobody in, and counts as no try', async (t) => {
  const answers: unknown[] = [
    { subject: '', name: 'ada' },
    { subject: '7' },
    { subject: '7', name: ['ada'] },
    { subject: 7, name: 'ada' },
    { subject: '7', name: 'ada', groups: 'staff' },
    'ada',
  ]
  let answer: unknown
  const hub = await hubWith(t, {
    authenticate: () => (answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer as undefined)),
  })
  for (answer of [
    ...answers,
    new Error('the directory is away'),
    ...Array.from({ length: 40 }, () => new Error('x')),
  ]) {
    const page = await type(hub, createJar(), { name: 'ada', password: 'secret' })
    t.is(page.status, 502)
    t.truthy(page.headers.get('retry-after'))
  }
  for (const name of ['Root!', '../x', 'x'.repeat(64)]) {
    answer = { subject: '8', name }
    const page = await type(hub, createJar(), { name: 'ada', password: 'secret' })
    t.is(page.status, /^x+$/.test(name) ? 303 : 403, name)
  }
})

test('wrong passwords are limited by address and by person, and right ones are not', async (t) => {
  const authenticator = knows()
  const hub = await hubWith(t, authenticator)
  const statuses: number[] = []
  for (let count = 0; count < 12; count += 1) {
    statuses.push((await type(hub, createJar(), { name: 'ada', password: `guess ${count}` }, '192.0.2.1')).status)
  }
  t.deepEqual(statuses, [...Array.from({ length: 10 }, () => 403), 429, 429])
  t.is(authenticator.asked, 10, 'nobody is asked any more, so nobody locks the account')
  const refused = await type(hub, createJar(), { name: 'ADA', password: 'secret' }, '192.0.2.1')
  t.is(refused.status, 429, 'not even what is right, and capitals change nothing')
  t.regex(refused.headers.get('retry-after') ?? '', /^\d{2,3}$/)
  t.is(
    (await type(hub, createJar(), { name: 'ada', password: 'secret' }, '192.0.2.2')).status,
    303,
    'she herself gets in',
  )
  // From everywhere at once: the person is kept safe too.
  const found: number[] = []
  for (let count = 0; count < 60; count += 1) {
    found.push((await type(hub, createJar(), { name: 'ada', password: 'x' }, `198.51.100.${count}`)).status)
  }
  t.true(found.includes(429))
  t.is(found.indexOf(429), 50)
  // One address that tries many names.
  const many: number[] = []
  for (let count = 0; count < 32; count += 1) {
    many.push((await type(hub, createJar(), { name: `user${count}`, password: 'x' }, '203.0.113.9')).status)
  }
  t.is(many.indexOf(429), 30)
})

test('beside a provider: names are held apart, a login is renewed by the same person alone', async (t) => {
  const authenticator = knows({
    'ada secret': ada,
    'marie secret': { subject: '9', name: 'marie' },
    'site secret': { subject: '10', name: 'person1' },
  })
  const { hub, provider } = await startHubAndProvider(t, {
    login: { passwords: local },
    authenticators: { local: authenticator },
  })
  provider.person = { sub: 'person-1', preferred_username: 'person1' }
  t.is((await createJar().open(`${hub.url}/hub/login/site?next=/hub/who`)).status, 200)
  const taken = await type(hub, createJar(), { name: 'site', password: 'secret' })
  t.is(taken.status, 403)
  t.regex(taken.text, /already belongs to somebody who logs in another way/)

  const jar = createJar()
  await type(hub, jar, { name: 'ada', password: 'secret' })
  const renew = await jar.open(`${hub.url}/hub/login/renew`)
  t.regex(renew.text, /name="for" type="hidden" value="renew"/)
  const other = await type(hub, jar, { name: 'marie', password: 'secret', for: 'renew' })
  t.regex(other.text, /This is another person/)
  const [before] = await hub.db
    .selectFrom('logins')
    .select(['id', 'authenticated_at'])
    .where('revoked_at', 'is', null)
    .orderBy('created_at', 'desc')
    .execute()
  hub.clock.offsetMs += 60_000
  const same = await type(hub, jar, { name: 'ada', password: 'secret', for: 'renew' })
  t.is(same.headers.get('location'), '/hub/login/renewed')
  const [after] = await hub.db
    .selectFrom('logins')
    .select(['id', 'authenticated_at'])
    .where('revoked_at', 'is', null)
    .orderBy('created_at', 'desc')
    .execute()
  t.is(after?.id, before?.id, 'the same login goes on')
  t.true((after?.authenticated_at ?? 0) > (before?.authenticated_at ?? 0))
  t.is((await type(hub, createJar(), { name: 'ada', password: 'secret', for: 'renew' })).status, 401, 'of nobody')
})

/* A directory */

const entryOf = (dn: string, uid: string, number: number, password: string, more = ''): string => `dn: ${dn}
objectClass: inetOrgPerson
objectClass: posixAccount
uid: ${uid}
cn: ${uid} of the directory
sn: x
mail: ${uid}@example.org
uidNumber: ${number}
gidNumber: 2000
homeDirectory: /home/${uid}
userPassword: ${password}
${more}
`

const entries = [
  entryOf(`uid=ada,${people}`, 'ada', 12_001, 'difference engine'),
  entryOf(`uid=marie,${people}`, 'marie', 12_002, 'pitchblende'),
  entryOf(`uid=twin,${people}`, 'twin', 12_003, 'twin'),
  entryOf(`cn=other twin,${people}`, 'twin', 12_004, 'twin').replace('cn: twin of the directory\n', 'cn: other twin\n'),
  `dn: cn=optics,${groups}
objectClass: posixGroup
gidNumber: 2100
memberUid: ada

`,
].join('')

test('a directory: bind, TLS, groups, several servers, and names that are no filters', async (t) => {
  t.timeout(300_000)
  const directory = await startDirectory(t, entries)
  if (directory === undefined) return
  for (const [what, more] of [
    ['StartTLS', { servers: [directory.ldap] }],
    ['LDAPS', { servers: [directory.ldaps] }],
    ['the first server is dead', { servers: ['ldaps://127.0.0.1:9', directory.ldaps] }],
  ] as const) {
    const hub = await hubOn(t, directory, more)
    const jar = createJar()
    t.is((await type(hub, jar, { name: 'ADA', password: 'difference engine' })).status, 303, what)
    t.like(await who(hub, jar), { user: { name: 'ada', title: 'ada of the directory' }, groups: ['optics'] })
    const [user] = await hub.db.selectFrom('users').select(['name', 'email']).execute()
    t.deepEqual(user, { name: 'ada', email: 'ada@example.org' })
  }
  const hub = await hubOn(t, directory, { servers: [directory.ldaps] })
  let address = 0
  const tried = async (name: string, password: string): Promise<number> =>
    (await type(hub, createJar(), { name, password }, `192.0.2.${(address += 1)}`)).status
  for (const [name, password] of [
    ['ada', 'pitchblende'],
    ['ada', ' '],
    ['nobody', 'difference engine'],
    ['a*', 'difference engine'],
    ['*', 'difference engine'],
    ['ada)(uid=*', 'difference engine'],
    ['ada\\2a', 'difference engine'],
    ['*)(|(uid=ada', 'difference engine'],
    [`uid=ada,${people}`, 'difference engine'],
    ['twin', 'twin'],
  ] as const) {
    t.is(await tried(name, password), 403, JSON.stringify([name, password]))
  }
  t.is(await tried('marie', 'pitchblende'), 303)

  // Down: nobody is told that their password is wrong.
  await directory.stop()
  t.is(await tried('marie', 'pitchblende'), 502)
  await directory.start()
  await new Promise((resolve) => setTimeout(resolve, 3_100))
  t.is(await tried('marie', 'pitchblende'), 303)
  // Slow: an end after its deadline.
  const slow = await hubOn(t, directory, { servers: [directory.ldaps], deadline: '500ms' })
  directory.pause()
  const begun = Date.now()
  t.is((await type(slow, createJar(), { name: 'marie', password: 'pitchblende' })).status, 502)
  t.true(Date.now() - begun < 10_000)
  directory.resume()
})

async function hubOn(t: ExecutionContext, directory: Directory, more: object): Promise<TestHub> {
  const { caFile, passwordFile } = directory
  const asked = { source: 'ldap', people, groups, caFile, bindDn: hubDn, passwordFile, ...more }
  // The directory is that of accounts: it is written once.
  const configuration = passwordsOf(
    { local: { type: 'ldap', title: 'Facility' } },
    asked as ConfigurationInput['accounts'],
  )
  const authenticators = await createAuthenticators(configuration, { log: quietLog, now: () => new Date(), fetch })
  return await startHub(t, { login: { passwords: configuration.login.passwords }, authenticators })
}
