/** The example plug-ins pass the contract of their kind, and broken ones do not. */
import { randomBytes, scryptSync } from 'node:crypto'
import { rename, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { accountContract, type AccountSubject } from '../../hub/plugins/contracts/accounts.ts'
import { authenticatorContract } from '../../hub/plugins/contracts/authenticator.ts'
import type { AuthenticatorSubject } from '../../hub/plugins/contracts/authenticator.ts'
import { matchingContract, type MatchingSubject } from '../../hub/plugins/contracts/matching.ts'
import { notifierContract, type NotifierSubject } from '../../hub/plugins/contracts/notifier.ts'
import type {
  AccountPlugin,
  AuthenticatorPlugin,
  MatchingPlugin,
  NotifierMessage,
  NotifierPlugin,
} from '../../hub/plugins/plugin.ts'
import { makePlugin, resolvePlugin } from '../../hub/plugins/resolve.ts'
import { passes } from '../support/contract.ts'
import { quietLog } from '../support/quiet-log.ts'
import { temporaryFolder } from '../support/temporary.ts'

const examples = new URL('../../config/plugins/', import.meta.url).pathname
const tools = { log: quietLog, now: () => new Date(), fetch }

async function jsonAccounts(t: ExecutionContext): Promise<AccountSubject> {
  const path = join(await temporaryFolder(t), 'accounts.json')
  const one = (uid: number) => ({ uid, gid: uid, home: `/home/${uid}`, groups: [{ name: 'staff', gid: 50 }] })
  await writeFile(path, JSON.stringify({ ada: one(2_001), marie: one(2_002) }))
  const { file } = await resolvePlugin('accounts', './accounts-json', examples)
  return {
    known: ['ada', 'marie'],
    unknown: 'grace',
    make: () => makePlugin('accounts', { package: file, options: { path } }, tools),
    async cut() {
      await rename(path, `${path}.away`)
      return () => rename(`${path}.away`, path)
    },
  }
}

for (const { title, run } of accountContract) {
  test(`accounts-json: ${title}`, async (t) => {
    await run(await jsonAccounts(t))
    t.pass()
  })
}

type Breaks = (sound: AccountPlugin) => AccountPlugin
const broken: Readonly<Record<string, Breaks>> = {
  'finds nobody': () => ({ find: () => Promise.resolve(undefined) }),
  'finds somebody for every name': (sound) => ({ find: (_name, signal) => sound.find('ada', signal) }),
  'calls a failure an absence': (sound) => ({ find: (...asked) => sound.find(...asked).catch(() => undefined) }),
  'throws for who has none': (sound) => ({
    async find(...asked) {
      return (await sound.find(...asked)) ?? Promise.reject(new Error('none'))
    },
  }),
  'repeats the primary group': (sound) => ({
    async find(...asked) {
      const account = await sound.find(...asked)
      return account && { ...account, groups: [{ name: 'own', gid: account.gid }] }
    },
  }),
  'answers with text for numbers': (sound) => ({
    async find(...asked) {
      const account = await sound.find(...asked)
      return account && ({ ...account, uid: String(account.uid) } as unknown as typeof account)
    },
  }),
}

/* Authenticators */

async function fileLogins(t: ExecutionContext): Promise<AuthenticatorSubject> {
  const path = join(await temporaryFolder(t), 'people.json')
  const right = [
    { name: 'ada', answers: { name: 'ada', password: 'difference engine' } },
    { name: 'marie', answers: { name: 'marie', password: 'pitchblende ☢' } },
  ] as const
  const rows = right.map(({ name, answers }) => {
    const salt = randomBytes(16)
    const hash = scryptSync(answers.password, salt, 32).toString('hex')
    return [name, { salt: salt.toString('hex'), scrypt: hash, groups: ['staff'] }]
  })
  await writeFile(path, JSON.stringify(Object.fromEntries(rows)), { mode: 0o600 })
  const { file } = await resolvePlugin('authenticator', './login-file', examples)
  return {
    right,
    who: 'name',
    proof: 'password',
    make: () => makePlugin('authenticator', { package: file, options: { path } }, tools),
    async cut() {
      await rename(path, `${path}.away`)
      return () => rename(`${path}.away`, path)
    },
  }
}

for (const { title, run } of authenticatorContract) {
  test(`login-file: ${title}`, async (t) => {
    await run(await fileLogins(t))
    t.pass()
  })
}

type BreaksLogin = (sound: AuthenticatorPlugin) => AuthenticatorPlugin
const person = { subject: 'ada', name: 'ada' }
const brokenLogins: Readonly<Record<string, BreaksLogin>> = {
  'lets in everybody': () => ({ authenticate: ({ name = '' }) => Promise.resolve({ ...person, name, subject: name }) }),
  'lets in nobody': () => ({ authenticate: () => Promise.resolve(undefined) }),
  'calls a failure wrong': (sound) => ({
    authenticate: (...asked) => sound.authenticate(...asked).catch(() => undefined),
  }),
  'throws for who is wrong': (sound) => ({
    async authenticate(...asked) {
      return (await sound.authenticate(...asked)) ?? Promise.reject(new Error('wrong'))
    },
  }),
  'is the same person always': (sound) => ({
    async authenticate(...asked) {
      return (await sound.authenticate(...asked)) && person
    },
  }),
  'is another person at each login': (sound) => ({
    async authenticate(...asked) {
      const found = await sound.authenticate(...asked)
      return found && { ...found, subject: randomBytes(8).toString('hex') }
    },
  }),
  'tells the password': (sound) => ({
    async authenticate(answers, ...more) {
      const found = await sound.authenticate(answers, ...more)
      return found && { ...found, claims: { answers } }
    },
  }),
  'looks at the first letters of the password': (sound) => ({
    authenticate: (answers, ...more) =>
      sound.authenticate({ ...answers, password: answers['password']?.replace(/(?:x|\0)$/, '') ?? '' }, ...more),
  }),
  'asks for a secret first': (sound) => ({ ...sound, fields: [{ name: 'password', title: 'Password', secret: true }] }),
}

for (const [what, breaks] of Object.entries(brokenLogins)) {
  test(`logins that are broken fail the contract: ${what}`, async (t) => {
    const subject = await fileLogins(t)
    t.false(await passes(authenticatorContract, { ...subject, make: async () => breaks(await subject.make()) }))
  })
}

/* The user office's matching */

async function fileMatching(t: ExecutionContext): Promise<MatchingSubject> {
  const path = join(await temporaryFolder(t), 'matching.json')
  const issuer = 'https://umbrella.example.org'
  const rows = [
    { issuer, subject: 'v-1', account: 'ada' },
    { issuer, legacyHash: 'h-2', account: 'marie' },
  ]
  await writeFile(path, JSON.stringify(rows))
  const { file } = await resolvePlugin('matching', './matching-file', examples)
  const common = { provider: 'umbrella', issuer, claims: {} }
  return {
    known: [
      { identity: { ...common, subject: 'v-1' }, account: 'ada' },
      { identity: { ...common, subject: 'v-2', legacyHash: 'h-2' }, account: 'marie' },
    ],
    make: () => makePlugin('matching', { package: file, options: { path } }, tools),
    async cut() {
      await rename(path, `${path}.away`)
      return () => rename(`${path}.away`, path)
    },
  }
}

for (const { title, run } of matchingContract) {
  test(`matching-file: ${title}`, async (t) => {
    await run(await fileMatching(t))
    t.pass()
  })
}

const umbrella = 'https://umbrella.example.org'
type BreaksMatching = (sound: MatchingPlugin) => MatchingPlugin
const brokenMatching: Readonly<Record<string, BreaksMatching>> = {
  'knows nobody': () => ({ match: () => Promise.resolve(undefined) }),
  'takes everybody for one': () => ({ match: () => Promise.resolve({ account: 'ada' }) }),
  'looks at no issuer': (sound) => ({
    match: (identity, signal) => sound.match({ ...identity, issuer: umbrella }, signal),
  }),
  'looks at the user name': (sound) => ({
    async match(identity, signal) {
      const name = identity.claims['preferred_username']
      return (await sound.match(identity, signal)) ?? (typeof name === 'string' ? { account: name } : undefined)
    },
  }),
  'throws for who is unknown': (sound) => ({
    async match(...asked) {
      return (await sound.match(...asked)) ?? Promise.reject(new Error('unknown'))
    },
  }),
  'calls a failure an absence': (sound) => ({ match: (...asked) => sound.match(...asked).catch(() => undefined) }),
  'takes an empty hash for one': (sound) => ({
    match: (identity, signal) =>
      sound.match(identity.legacyHash === '' ? { ...identity, legacyHash: 'h-2' } : identity, signal),
  }),
}

for (const [what, breaks] of Object.entries(brokenMatching)) {
  test(`a matching that is broken fails the contract: ${what}`, async (t) => {
    const subject = await fileMatching(t)
    t.false(await passes(matchingContract, { ...subject, make: async () => breaks(await subject.make()) }))
  })
}

/* Notifiers */

async function webhook(t: ExecutionContext): Promise<NotifierSubject> {
  const taken = new Map<string, NotifierMessage>()
  let isDown = false
  const server = createServer((request, response) => {
    request.setEncoding('utf8')
    let text = ''
    request.on('data', (data: string) => (text += data))
    request.on('end', () => {
      if (isDown || request.headers.authorization !== 'Bearer s3cret') return void response.writeHead(503).end()
      const message = JSON.parse(text) as NotifierMessage
      taken.set(String(request.headers['idempotency-key']), message)
      response.writeHead(204).end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const tokenFile = join(await temporaryFolder(t), 'token')
  await writeFile(tokenFile, 's3cret\n', { mode: 0o600 })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  const { file } = await resolvePlugin('notifier', './notifier-webhook', examples)
  return {
    to: 'ada@example.org',
    make: () => makePlugin('notifier', { package: file, options: { url, tokenFile } }, tools),
    arrived: () => Promise.resolve([...taken.values()]),
    cut() {
      isDown = true
      return Promise.resolve(async () => void (isDown = false))
    },
  }
}

for (const { title, run } of notifierContract) {
  test(`notifier-webhook: ${title}`, async (t) => {
    await run(await webhook(t))
    t.pass()
  })
}

type BreaksNotifier = (sound: NotifierPlugin) => NotifierPlugin
const brokenNotifiers: Readonly<Record<string, BreaksNotifier>> = {
  'sends nothing': () => ({ send: () => Promise.resolve({ is: 'sent' }) }),
  'gives up at once': (sound) => ({
    async send(...asked) {
      const handed = await sound.send(...asked)
      return handed.is === 'failed' ? { ...handed, permanent: true } : handed
    },
  }),
  'calls a failure a success': (sound) => ({
    async send(...asked) {
      await sound.send(...asked)
      return { is: 'sent' }
    },
  }),
  'cuts texts short': (sound) => ({
    send: (message, ...more) => sound.send({ ...message, text: message.text.slice(0, 900) }, ...more),
  }),
  'writes ASCII alone': (sound) => ({
    send: (message, ...more) => sound.send({ ...message, text: message.text.replaceAll(/[^ -~\n]/g, '?') }, ...more),
  }),
}

for (const [what, breaks] of Object.entries(brokenNotifiers)) {
  test(`notifiers that are broken fail the contract: ${what}`, async (t) => {
    const subject = await webhook(t)
    t.false(await passes(notifierContract, { ...subject, make: async () => breaks(await subject.make()) }))
  })
}

for (const [what, breaks] of Object.entries(broken)) {
  test(`accounts that are broken fail the contract: ${what}`, async (t) => {
    const subject = await jsonAccounts(t)
    t.false(await passes(accountContract, { ...subject, make: async () => breaks(await subject.make()) }))
  })
}
