/** The audit trail on both databases: append-only, kept so long, told to syslog, exported, and forgotten by name. */
import { createSocket } from 'node:dgram'
import { writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import test from 'ava'
import { sql, type Transaction } from 'kysely'
import { auditExporter } from '../../hub/audit/export.ts'
import { throughGate } from '../../hub/audit/gate.ts'
import { type Audit, createAudit } from '../../hub/audit/index.ts'
import type { AuditEntry } from '../../hub/audit/entry.ts'
import { pseudonymise } from '../../hub/audit/pseudonymise.ts'
import { renumber } from '../../hub/accounts/seen.ts'
import { block } from '../../hub/identity/blocking.ts'
import { main } from '../../hub/cli/main.ts'
import { serveControl } from '../../hub/control.ts'
import { Problem } from '../../hub/domain/problem.ts'
import { prepareStateFolder } from '../../hub/setup/state-folder.ts'
import { createEnvironments } from '../../hub/reconcile/index.ts'
import { insertRow, liveRows } from '../../hub/store/environments.ts'
import { openStore, type Store } from '../../hub/store/index.ts'
import type { Tables } from '../../hub/store/schema.ts'
import type { EnvironmentId } from '../../spawners/spawner.ts'
import { Registry } from 'prom-client'
import { createJar } from '../support/browser-jar.ts'
import { startHubAndProvider } from '../support/identity.ts'
import { databases } from '../support/postgres.ts'
import { quietLog } from '../support/quiet-log.ts'
import { newRow } from '../support/rows.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

const day = 86_400_000
const ada = { id: 'u-ada', name: 'ada' }
const marie = { id: 'u-marie', name: 'marie' }
const entry: AuditEntry = { who: ada, did: 'environment.launched', what: 'e1', from: '192.0.2.7', login: 'l1' }

function auditOn(store: Store, changes: Partial<Parameters<typeof createAudit>[0]['configuration']> = {}): Audit {
  const configuration = { keep: 100 * day, keepRefusals: 10 * day, ...changes }
  return createAudit({ store, configuration, now: () => new Date(), log: quietLog })
}

const all = (store: Store) => auditExporter(store.db)({})

async function addUser(store: Store, { id, name }: typeof ada): Promise<void> {
  const person = { id, name, title: 'Ada Lovelace', email: `${name}@example.org`, admin: 0, blocked_reason: null }
  await store.db
    .insertInto('users')
    .values({ ...person, created_at: 1, last_activity_at: null })
    .execute()
}

test('a launch and its line are written together or not at all, and the line is told once it is there', async (t) => {
  t.timeout(120_000)
  for (const store of await databases(t)) {
    const audit = auditOn(store)
    await addUser(store, ada)
    const { environments } = createEnvironments({
      store,
      spawners: new Map(),
      agentsKey: Buffer.alloc(32),
      settings: { hub: 'h', hosts: undefined, startTimeoutMs: () => 60_000 },
      now: () => new Date(),
      log: quietLog,
      metrics: new Registry(),
    })
    const launch = async (id: string, also: (trx: Transaction<Tables>) => Promise<() => void>): Promise<boolean> => {
      const row = newRow({ id: id as EnvironmentId, userId: ada.id, spawner: 's', now: new Date() })
      return await environments
        .launch(row, () => undefined, { also })
        .then(
          () => true,
          () => false,
        )
    }
    let told = 0
    const written = async (trx: Transaction<Tables>) => {
      await audit.within(trx, { ...entry, what: 'good' })
      return () => void (told += 1)
    }
    const broken = async (trx: Transaction<Tables>) => {
      await audit.within(trx, { ...entry, what: 'bad' })
      throw new Error('the disk is full')
    }
    t.deepEqual(await Promise.all([launch('good', written), launch('bad', broken)]), [true, false], store.type)
    t.is(told, 1)
    t.deepEqual(
      (await all(store)).map(({ what }) => what),
      ['good'],
    )
    t.deepEqual(
      (await liveRows(store.db)).map(({ id }) => id),
      ['good'],
    )
  }
})

test('what is written stays as it is: the database refuses to change, delete, replace or empty it', async (t) => {
  t.timeout(120_000)
  for (const store of await databases(t)) {
    const audit = auditOn(store)
    await audit.write(entry)
    await audit.write({ who: 'nobody', did: 'login.refused', detail: { reason: 'state', tries: 3 } })
    const before = await all(store)
    t.like(before[0], { who: 'ada', whoId: 'u-ada', did: 'environment.launched', what: 'e1', from: '192.0.2.7' })
    t.deepEqual(before[1]?.detail, { reason: 'state', tries: 3 })
    const id = before[0]?.id ?? 0
    const attempts = [
      sql`update audit set who = 'marie' where id = ${id}`,
      sql`update audit set detail = '{}'`,
      sql`delete from audit where id = ${id}`,
      sql`delete from audit`,
      store.type === 'sqlite'
        ? sql`insert or replace into audit (id, at, who, did, detail) values (${id}, 1, 'x', 'x.y', '{}')`
        : sql`truncate audit`,
    ]
    for (const attempt of attempts) {
      await t.throwsAsync(attempt.execute(store.db), { message: /append-only/ }, store.type)
    }
    // Not through the gate either: when and what are for ever, and each purpose opens for one thing.
    const through = (purpose: 'retention' | 'pseudonym', work: ReturnType<typeof sql>) =>
      store.db.transaction().execute((trx) => throughGate(trx, purpose, (inside) => work.execute(inside)))
    await t.throwsAsync(through('pseudonym', sql`update audit set at = 1`), { message: /append-only/ })
    await t.throwsAsync(through('pseudonym', sql`update audit set did = 'x.y'`), { message: /append-only/ })
    await t.throwsAsync(through('pseudonym', sql`delete from audit`), { message: /append-only/ })
    await t.throwsAsync(through('retention', sql`update audit set who = 'x'`), { message: /append-only/ })
    t.deepEqual(await all(store), before)
    t.is((await store.db.selectFrom('audit_gate').select('open_for').executeTakeFirstOrThrow()).open_for, '')
    await audit.close()
  }
})

test('a transaction that fails leaves no line, and the gate shut', async (t) => {
  for (const store of await databases(t)) {
    const audit = auditOn(store)
    const failing = store.db.transaction().execute(async (trx) => {
      await audit.within(trx, entry)
      await throughGate(trx, 'retention', () => Promise.reject(new Error('half-way')))
    })
    await t.throwsAsync(failing, { message: 'half-way' })
    t.deepEqual(await all(store), [])
    await t.notThrowsAsync(audit.write(entry))
    await t.throwsAsync(sql`delete from audit`.execute(store.db), { message: /append-only/ })
    await audit.close()
  }
})

test('lines are deleted when their time is over, refusals earlier, in parts', async (t) => {
  t.timeout(120_000)
  for (const store of await databases(t)) {
    const audit = auditOn(store)
    const ago = (days: number): { at: Date } => ({ at: new Date(Date.now() - days * day) })
    await audit.write({ ...entry, ...ago(101), what: 'old' })
    await audit.write({ ...entry, ...ago(99), what: 'kept' })
    await audit.write({ who: 'nobody', did: 'login.refused', ...ago(11) })
    await audit.write({ who: 'nobody', did: 'login.refused', what: 'kept', ...ago(9) })
    const many = Array.from({ length: 1_500 }, () => audit.write({ ...entry, ...ago(200) }))
    await Promise.all(many)
    t.is(await audit.retain(), 1_502, store.type)
    t.deepEqual([...new Set((await all(store)).map(({ what }) => what))], ['kept'])
    t.is(await audit.retain(), 0)
    await audit.close()
  }
})

test('a person who is pseudonymised is named nowhere any more; who did what stays', async (t) => {
  t.timeout(120_000)
  for (const store of await databases(t)) {
    const audit = auditOn(store)
    await addUser(store, ada)
    await addUser(store, marie)
    const identity = { issuer: 'https://login.example.org', subject: 'sub-of-ada', user_id: ada.id, linked_at: 1 }
    await store.db
      .insertInto('identities')
      .values({ ...identity, claims: '{"name":"Ada Lovelace"}' })
      .execute()
    await audit.write(entry)
    await audit.write({ ...entry, who: marie, toWhom: ada, did: 'link.approved', what: 'sub-of-ada' })
    await audit.write({
      who: marie,
      did: 'share.made',
      detail: { with: ['ada', 'carl'], note: 'for Ada Lovelace', by: 'an adapter' },
    })
    await audit.write({
      who: marie,
      did: 'share.made',
      toWhom: ada,
      detail: { with: ['ada', 'carl'] },
      from: '192.0.2.9',
    })
    const revoked: unknown[] = []
    const routes = { revoke: async (each: unknown) => void revoked.push(each) }
    const options = { store, audit, routes, now: () => new Date() }
    const row = newRow({ id: 'e1' as EnvironmentId, userId: ada.id, spawner: 's', now: new Date() })
    await store.db.transaction().execute((trx) => insertRow(trx, row))
    const early = await t.throwsAsync(pseudonymise(options, 'ada', { who: 'hub' }), { instanceOf: Problem })
    t.is(early?.type, 'conflict')
    await store.db.updateTable('environments').set({ ended_at: 5, log_tail: 'ada@node' }).execute()
    const before = await all(store)

    const pseudonym = await pseudonymise(options, 'ada', { who: 'hub' })
    t.regex(pseudonym, /^person-[\da-f]{12}$/)
    const after = await all(store)
    t.deepEqual(
      after.slice(0, -1).map(({ id, at, did }) => [id, at, did]),
      before.map(({ id, at, did }) => [id, at, did]),
    )
    t.like(after[0], { who: pseudonym, whoId: ada.id, what: 'e1' })
    t.false('from' in (after[0] ?? {}))
    t.like(after[1], { who: 'marie', toWhom: pseudonym, what: pseudonym })
    t.like(after[3], { who: 'marie', from: '192.0.2.9', detail: { with: [pseudonym, 'carl'] } })
    t.like(after.at(-1), { who: 'hub', did: 'user.pseudonymised', toWhom: pseudonym })
    t.deepEqual(revoked.length, 1)
    t.notRegex(JSON.stringify(after).replaceAll(ada.id, ''), /ada(?!pter)|Lovelace/i)
    t.like(after[2], { who: 'marie', detail: { with: [pseudonym, 'carl'], note: pseudonym, by: 'an adapter' } })
    for (const table of ['users', 'identities', 'logins', 'environments', 'tokens'] as const) {
      const rows = (await store.db.selectFrom(table).selectAll().execute()).filter(
        (each) => !Object.values(each).includes(marie.id),
      )
      t.notRegex(JSON.stringify(rows).replaceAll('u-ada', ''), /ada|Lovelace/i, `${store.type}: ${table}`)
    }
    t.is((await t.throwsAsync(pseudonymise(options, 'ada', { who: 'hub' }), { instanceOf: Problem }))?.type, 'notFound')
    await audit.close()
  }
})

/** `<PRI>1 TIME HOST APP PROCID MSGID [SD] MSG` (RFC 5424, section 6). */
const rfc5424 =
  /^<(\d{1,3})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (\S+) hutch - (\S{1,32}) \[hutch@32473((?: \w+="(?:[^"\\\]]|\\["\\\]])*")+)\] \uFEFF(\{.*\})$/

async function listening(server: Server, where: { path: string } | { port: number; host: string }): Promise<Server> {
  await new Promise<void>((resolve) => server.listen(where, resolve))
  return server
}

/** Reads octet-counted messages (RFC 6587, section 3.4.1). */
function messagesOf(received: Buffer[]): string[] {
  const messages: string[] = []
  let rest = Buffer.concat(received)
  for (;;) {
    const space = rest.indexOf(' ')
    const length = Number(rest.subarray(0, space).toString())
    if (space < 0 || rest.length < space + 1 + length) return messages
    messages.push(rest.subarray(space + 1, space + 1 + length).toString())
    rest = rest.subarray(space + 1 + length)
  }
}

test('syslog: each line as RFC 5424, by datagram, by TCP and by unix socket; nothing breaks out of its field', async (t) => {
  const store = await openStore({ type: 'sqlite' }, { stateFolder: await temporaryFolder(t), log: quietLog })
  t.teardown(() => store.close())
  const folder = await temporaryFolder(t)
  const datagrams: string[] = []
  const udp = createSocket('udp4', (message) => void datagrams.push(message.toString()))
  await new Promise<void>((resolve) => udp.bind(0, '127.0.0.1', resolve))
  t.teardown(() => new Promise<void>((resolve) => udp.close(() => resolve())))
  const streams = { tcp: [] as Buffer[], unix: [] as Buffer[] }
  const servers = {
    tcp: await listening(
      createServer((socket) => socket.on('data', (data) => streams.tcp.push(data))),
      { port: 0, host: '127.0.0.1' },
    ),
    unix: await listening(
      createServer((socket) => socket.on('data', (data) => streams.unix.push(data))),
      { path: join(folder, 'log') },
    ),
  }
  for (const server of Object.values(servers))
    t.teardown(() => new Promise<void>((resolve) => server.close(() => resolve())))
  const tcpPort = (servers.tcp.address() as { port: number }).port
  const hostile: AuditEntry = { ...entry, what: 'a"]\\b\n<0>1 forged', detail: { text: 'x"]\nß' } }
  for (const [to, received] of [
    [`udp://127.0.0.1:${udp.address().port}`, () => datagrams],
    [`tcp://127.0.0.1:${tcpPort}`, () => messagesOf(streams.tcp)],
    [`unix:${join(folder, 'log')}`, () => messagesOf(streams.unix)],
  ] as const) {
    const audit = auditOn(store, { syslog: { to, facility: 'authpriv', hostname: 'hub.example.org' } })
    await audit.write(entry)
    await audit.write(hostile)
    await audit.write({ who: 'nobody', did: 'login.refused' })
    await until(`three messages at ${to}`, () => received().length === 3)
    const parsed = received().map((message) => rfc5424.exec(message) ?? [])
    t.deepEqual(
      parsed.map(([, priority, , host, id]) => [priority, host, id]),
      [
        ['86', 'hub.example.org', 'environment.launched'],
        ['86', 'hub.example.org', 'environment.launched'],
        ['85', 'hub.example.org', 'login.refused'],
      ],
      to,
    )
    t.regex(parsed[1]?.[5] ?? '', /what="a\\"\\\]\\\\b <0>1 forged"/)
    t.like(JSON.parse(parsed[1]?.[6] ?? ''), { who: 'ada', did: 'environment.launched', detail: { text: 'x"] ß' } })
    await audit.close()
  }
})

test('a syslog daemon that is away gets the lines when it is back, and nobody waits for it', async (t) => {
  const store = await openStore({ type: 'sqlite' }, { stateFolder: await temporaryFolder(t), log: quietLog })
  t.teardown(() => store.close())
  const path = join(await temporaryFolder(t), 'log')
  const audit = auditOn(store, { syslog: { to: `unix:${path}`, facility: 'local0', hostname: 'h' } })
  for (let number = 0; number < 5; number += 1) await audit.write({ ...entry, what: `e${number}` })
  const received: Buffer[] = []
  const server = createServer((socket) => socket.on('data', (data) => received.push(data)))
  await listening(server, { path })
  await until('all five came', () => messagesOf(received).length === 5)
  t.deepEqual(
    messagesOf(received).map((message) => /"what":"(e\d)"/.exec(message)?.[1]),
    ['e0', 'e1', 'e2', 'e3', 'e4'],
  )
  await audit.close()
  await new Promise((resolve) => server.close(resolve))
})

test('logins, failed ones, logouts: each has its line, and no line holds a secret', async (t) => {
  const { hub, provider } = await startHubAndProvider(t)
  const browser = createJar()
  let tokens = ''
  provider.forge.token = (answer) => {
    tokens = `${answer.id_token} ${answer.access_token}`
    return answer
  }
  await browser.open(`${hub.url}/hub/login/site?next=/hub/who`)
  const cookie = browser.cookie('hutch-login') ?? ''
  await createJar().ask(`${hub.url}/hub/login/site/callback?code=stolen-code&state=y`)
  await browser.ask(`${hub.url}/hub/logout`, { method: 'POST' })
  const lines = await auditExporter(hub.db)({})
  t.deepEqual(
    lines.map(({ who, did, from, detail }) => [who, did, from, detail ?? {}]),
    [
      ['ada', 'login.began', '127.0.0.1', { provider: 'site' }],
      ['nobody', 'login.refused', '127.0.0.1', { provider: 'site', reason: 'state' }],
      ['ada', 'login.ended', '127.0.0.1', {}],
    ],
  )
  t.is(lines[0]?.login, lines[2]?.login)
  for (const secret of [cookie, 'stolen-code', ...tokens.split(' ')]) {
    t.true(secret.length > 8)
    t.false(JSON.stringify(lines).includes(secret))
  }
})

test('hutch audit export and hutch user pseudonymise: with a hub that runs, and without', async (t) => {
  const state = await temporaryFolder(t)
  const file = join(state, 'hutch.json')
  const configured = { login: { demo: true }, flavours: {}, profiles: {}, spawners: {} }
  await writeFile(file, JSON.stringify(configured))
  const { path, run } = await prepareStateFolder(state)
  const hutch = async (...argv: string[]) => {
    const [printed, errors]: [string[], string[]] = [[], []]
    const code = await main([...argv, '--config', file, '--state', state], {
      print: (text) => void printed.push(text),
      error: (text) => void errors.push(text),
      progress: () => undefined,
      isTerminal: false,
      folder: '/',
    })
    return { code, printed, errors: errors.join('\n') }
  }
  const withStore = async (work: (store: Store) => Promise<void>): Promise<void> => {
    const store = await openStore({ type: 'sqlite' }, { stateFolder: path, log: quietLog })
    try {
      await work(store)
    } finally {
      await store.close()
    }
  }
  await withStore(async (store) => {
    await addUser(store, ada)
    const audit = auditOn(store)
    for (let number = 0; number < 1_203; number += 1) audit.note({ ...entry, what: `e${number}` })
    await audit.write({ ...entry, who: marie, at: new Date('2025-03-01T12:00:00Z') })
    await audit.close()
  })
  const whats = (lines: readonly string[]) => lines.map((line) => (JSON.parse(line) as { what: string }).what)

  const offline = await hutch('audit', 'export')
  t.is(offline.code, 0, offline.errors)
  t.is(offline.printed.length, 1_204)
  t.deepEqual(whats(offline.printed.slice(0, 3)), ['e0', 'e1', 'e2'])
  t.deepEqual(whats((await hutch('audit', 'export', '--after', '1202')).printed), ['e1202', 'e1'])
  t.is((await hutch('audit', 'export', '--until', '2025-12-31')).printed.length, 1)
  t.is((await hutch('audit', 'export', '--since', '24h')).printed.length, 1_203)
  t.is((await hutch('audit', 'export', '--user', 'ada')).printed.length, 1_203)
  t.regex((await hutch('audit', 'export', '--user', 'nobody')).errors, /there is no user nobody/)
  t.regex((await hutch('audit', 'export', '--since', 'yesterday')).errors, /--since wants/)
  t.regex((await hutch('audit')).errors, /hutch audit export/)
  t.regex((await hutch('user', 'pseudonymise')).errors, /NAME is missing/)

  await withStore(async (store) => {
    const audit = auditOn(store)
    const options = { store, audit, routes: { revoke: () => Promise.resolve() }, now: () => new Date() }
    const server = await serveControl({
      socketPath: join(run, 'control.sock'),
      registry: new Registry(),
      createToken: () => Promise.reject(new Error('not asked')),
      auditPage: auditExporter(store.db),
      block: (user, reason) => block({ ...options, db: store.db }, user, reason, { who: 'hub' }),
      renumber: (user) => renumber({ db: store.db, audit }, user, { who: 'hub' }),
      applyLimits: () => Promise.reject(new Error('not asked')),
      pseudonymise: (user) => pseudonymise(options, user, { who: 'hub' }),
    })
    const online = await hutch('audit', 'export')
    t.deepEqual(online.printed, offline.printed)
    t.is((await hutch('user', 'block', 'ada', '--reason', 'Left in May')).code, 0)
    const reason = async () =>
      (await store.db.selectFrom('users').select('blocked_reason').executeTakeFirstOrThrow()).blocked_reason
    t.is(await reason(), 'Left in May')
    t.is((await hutch('user', 'unblock', 'ada')).code, 0)
    t.is(await reason(), null)
    t.regex((await hutch('user', 'block', 'ada')).errors, /--reason is missing/)
    t.regex((await hutch('user', 'renumber', 'ada')).errors, /nothing is remembered of the account ada/)
    const { id } = await store.db.selectFrom('users').select('id').executeTakeFirstOrThrow()
    const seen = { user_id: id, uid: 3_001, first_seen_at: 0, missing_since: null }
    await store.db.insertInto('accounts_seen').values(seen).execute()
    t.is((await hutch('user', 'renumber', 'ada')).code, 0)
    t.deepEqual(await store.db.selectFrom('accounts_seen').selectAll().execute(), [])
    const made = await hutch('user', 'pseudonymise', 'ada')
    t.regex(made.printed.join(), /^person-/, made.errors)
    t.regex((await hutch('user', 'pseudonymise', 'ada')).errors, /there is no user ada/)
    await audit.close()
    await new Promise((resolve) => server.close(resolve))
  })
  t.notRegex((await hutch('audit', 'export')).printed.join('\n'), /"who":"ada"/)
})
