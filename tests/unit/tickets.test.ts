/** Kerberos: caches read from their bytes, where an environment can have tickets, when they are had anew. */
import { open, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import * as fc from 'fast-check'
import { createCredentials } from '../../hub/credentials/index.ts'
import { createRenewals } from '../../hub/credentials/renewals.ts'
import { readTicketCache } from '../../hub/credentials/ticket-cache.ts'
import type { Environment } from '../../hub/domain/environment.ts'
import { ticketsOn } from '../../hub/launch/tickets.ts'
import { pluginTickets } from '../../hub/plugins/credentials.ts'
import { createTicketFiles } from '../../spawners/common/ticketFiles.ts'
import type { EnvironmentId } from '../../spawners/spawner.ts'
import { contractSpec, silentLog } from '../support/spawnerSubject.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { cacheOf } from '../support/ticketCache.ts'
import { until } from '../support/until.ts'

const account = { name: 'ada', uid: 2_001, gid: 2_001, groups: [], home: '/home/ada', shell: '/bin/sh' }
const end = 1_800_000_000

test('a cache: whose it is, and until when, by the ticket that gets the others', (t) => {
  const bytes = cacheOf('ada', [
    { server: ['nfs', 'nas.example.org'], endsAt: end + 500 },
    { server: ['krbtgt', 'EXAMPLE.ORG'], endsAt: end },
    { server: ['krb5_ccache_conf_data', 'fast_avail'], realm: 'X-CACHECONF:', endsAt: 0 },
  ])
  const facts = readTicketCache(bytes)
  t.deepEqual(facts.principal, { components: ['ada'], realm: 'EXAMPLE.ORG' })
  t.is(facts.endsAt.getTime(), end * 1_000)
  const services = cacheOf('ada', [
    { server: ['nfs', 'a'], endsAt: end + 9 },
    { server: ['nfs', 'b'], endsAt: end + 5 },
  ])
  t.is(readTicketCache(services).endsAt.getTime(), (end + 5) * 1_000, 'without such a ticket, the first that ends')
})

test('what is no cache says so in a sentence, whatever its bytes', (t) => {
  t.throws(() => readTicketCache(Buffer.from('')), { message: /cut short/ })
  t.throws(() => readTicketCache(Buffer.from('not a cache')), { message: /no ticket cache of version 4/ })
  t.throws(() => readTicketCache(cacheOf('ada', [])), { message: /holds no ticket/ })
  t.throws(() => readTicketCache(Buffer.alloc(70_000)), { message: /at most 65536 bytes/ })
  const sound = cacheOf('ada', [{ server: ['krbtgt', 'EXAMPLE.ORG'], endsAt: end }])
  const broken = fc.array(fc.tuple(fc.nat(sound.length - 1), fc.nat(255)), { minLength: 1, maxLength: 20 })
  fc.assert(
    fc.property(broken, fc.nat(sound.length), (changes, length) => {
      const bytes = Buffer.from(sound)
      for (const [at, value] of changes) bytes[at] = value
      try {
        readTicketCache(bytes.subarray(0, length))
      } catch (error) {
        t.false(error instanceof RangeError, String(error))
      }
    }),
    { numRuns: 2_000 },
  )
  t.pass()
})

const answers: Readonly<Record<string, readonly [unknown, RegExp]>> = {
  'another account’s': [cacheOf('grace', [{ server: ['krbtgt', 'X'], endsAt: end }]), /those of another principal/],
  'a service’s of this name': [
    cacheOf(['ada', 'admin'], [{ server: ['krbtgt', 'X'], endsAt: end }]),
    /another principal/,
  ],
  text: ['FILE:/tmp/krb5cc_0', /something else than bytes/],
  'a path': [{ path: '/tmp/krb5cc_0' }, /something else than bytes/],
}
for (const [what, [answer, message]] of Object.entries(answers)) {
  test(`what a plug-in answers is read, and not believed: ${what}`, async (t) => {
    const ticketsOf = pluginTickets({ ticketCache: () => Promise.resolve(answer as Uint8Array) })
    await t.throwsAsync(ticketsOf(account, AbortSignal.timeout(5_000)), { message })
  })
}

test('where an environment can have tickets', (t) => {
  const credentials = { plugin: { package: 'x', options: {} } }
  const spawners = { here: { type: 'local' }, cluster: { type: 'slurm', kerberos: 'site' as const } }
  const able = { renewTickets: () => Promise.resolve() }
  t.deepEqual(ticketsOn({ credentials, spawners }, 'here', able), { is: 'supplied' })
  t.deepEqual(ticketsOn({ credentials: undefined, spawners }, 'cluster', {}), { is: 'site' })
  t.regex(
    whyNot(ticketsOn({ credentials: undefined, spawners }, 'here', able)),
    /credentials\.plugin is not configured/,
  )
  t.regex(whyNot(ticketsOn({ credentials, spawners }, 'here', {})), /here has no way to give one .*kerberos: site/)
})

function whyNot(source: ReturnType<typeof ticketsOn>): string {
  return source.is === 'missing' ? source.why : ''
}

test('tickets are had at the launch, and again when half of their time is over; not for long enough is a failure', async (t) => {
  let at = Date.parse('2026-11-21T12:00:00Z')
  let leftMs = 60_000
  const now = () => new Date(at)
  const credentials = createCredentials({
    ticketsOf: () => Promise.resolve({ cache: Buffer.from('c'), endsAt: new Date(at + leftMs) }),
    now,
    log: silentLog,
  })
  const spec = { id: 'one' as EnvironmentId, account }
  t.is(credentials.dueAt('one'), 0)
  await credentials.tickets(spec, AbortSignal.timeout(1_000))
  t.is(credentials.dueAt('one'), at + 30_000)
  leftMs = 1_000
  at += 100
  await t.throwsAsync(credentials.tickets(spec, AbortSignal.timeout(1_000)), { message: /are over at/ })
  const none = createCredentials({ ticketsOf: () => Promise.resolve(undefined), now, log: silentLog })
  await t.throwsAsync(none.tickets(spec, AbortSignal.timeout(1_000)), {
    name: 'LaunchRefused',
    message: /no Kerberos ticket for the account ada/,
  })
})

test('renewals: what runs here, when it is due; a failure is tried again, and takes nothing away', async (t) => {
  let at = 1_000_000
  let isDown = false
  const alarms: (() => void)[] = []
  const pass = async (ms: number): Promise<void> => {
    at += ms
    alarms.splice(0).forEach((ring) => ring())
    await until('it waits again', () => alarms.length > 0)
  }
  const now = () => new Date(at)
  const environment = (id: string, changes: object = {}): Environment => {
    const spec = { ...contractSpec('h', id as EnvironmentId, {}), tickets: true as const }
    const running = { phase: 'running', hosts: [], startedAt: new Date(0) } as const
    return { id, spec, spawner: 'here', observation: running, ...changes } as unknown as Environment
  }
  const live = [
    environment('due'),
    environment('waiting', { observation: { phase: 'pending', stage: 'queued', message: '' } }),
    environment('elsewhere', { spawner: 'other' }),
    environment('plain', { spec: contractSpec('h', 'plain' as EnvironmentId, {}) }),
  ]
  const renewed: string[] = []
  const credentials = createCredentials({
    ticketsOf: () =>
      isDown
        ? Promise.reject(new Error('the KDC is away'))
        : Promise.resolve({ cache: Buffer.from('c'), endsAt: new Date(at + 100_000) }),
    now,
    log: silentLog,
  })
  const renewTickets = ({ id }: { id: string }): Promise<void> => {
    renewed.push(id)
    return Promise.resolve()
  }
  const renewals = createRenewals({
    credentials,
    live: () => live,
    spawners: new Map([
      ['here', { renewTickets }],
      ['other', { renewTickets }],
    ]),
    leads: (name) => name === 'here',
    timers: {
      after(_ms, call) {
        alarms.push(call)
        return () => void alarms.splice(alarms.indexOf(call), alarms.includes(call) ? 1 : 0)
      },
    },
    now,
    log: silentLog,
  })
  renewals.start()
  await until('after a restart it is renewed at once', () => renewed.length === 1)
  await until('it waits', () => alarms.length > 0)
  t.deepEqual(renewed, ['due'])
  await pass(10_000)
  t.is(renewed.length, 1, 'it is not due')
  isDown = true
  await pass(45_000)
  t.is(renewed.length, 1)
  isDown = false
  await pass(10_000)
  t.is(renewed.length, 1, 'it rests after a failure')
  await pass(25_000)
  await until('it is tried again', () => renewed.length === 2)
  live.splice(0)
  await pass(30_000)
  t.is(credentials.dueAt('due'), 0, 'what is gone is forgotten')
  await renewals.close()
})

test('as files: the account alone reads them, they are whole at each moment, and none outlives its environment', async (t) => {
  const folder = join(await temporaryFolder(t), 'tickets')
  const owner = { uid: process.getuid?.() === 0 ? 12_001 : (process.getuid?.() ?? 0), gid: process.getgid?.() ?? 0 }
  let names = 0
  const files = createTicketFiles(folder, () => String((names += 1)))
  const [one, two] = ['one', 'two'] as EnvironmentId[]
  if (one === undefined || two === undefined) return t.fail()
  await files.remove(one)
  const before = process.umask(0o077)
  t.teardown(() => process.umask(before))
  await files.write(one, owner, Buffer.from('first'))
  await files.write(two, owner, Buffer.from('other'))
  const path = join(files.folderOf(owner), 'krb5cc_one')
  const opened = await open(path)
  t.teardown(() => opened.close())
  process.umask(0)
  await files.write(one, owner, Buffer.from('second'))
  t.is(await opened.readFile('utf8'), 'first', 'who reads on reads one of them')
  t.is(await readFile(path, 'utf8'), 'second')
  const { mode, uid } = await stat(path)
  t.deepEqual([mode & 0o777, uid], [0o600, owner.uid])
  t.is((await stat(files.folderOf(owner))).mode & 0o777, 0o711)
  t.is((await stat(files.folderOf(owner))).uid, process.getuid?.() ?? 0, 'nobody else puts a link there')
  await writeFile(join(files.folderOf(owner), '.new-left'), '')
  await files.sweep((id) => id === two)
  t.deepEqual(await readdir(files.folderOf(owner)), ['krb5cc_two'])
  await files.remove(two)
  t.deepEqual(await readdir(files.folderOf(owner)), [])
})
