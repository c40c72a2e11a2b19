/**
 * Kerberos with a real KDC: the example plug-in keeps the contract, broken ones do not, and an environment of the local
 * spawner has its account's tickets by klist, and the renewed ones after that.
 */
import { execFile } from 'node:child_process'
import { chmod, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test from 'ava'
import { createCredentials } from '../../hub/credentials/index.ts'
import { credentialsContract, type CredentialsSubject } from '../../hub/plugins/contracts/credentials.ts'
import { pluginTickets } from '../../hub/plugins/credentials.ts'
import type { CredentialsPlugin } from '../../hub/plugins/plugin.ts'
import { makePlugin, resolvePlugin } from '../../hub/plugins/resolve.ts'
import { readTicketCache } from '../../hub/credentials/ticket-cache.ts'
import { createLocal } from '../../spawners/local/create.ts'
import { available, program } from '../support/component.ts'
import { passes } from '../support/contract.ts'
import { type Kdc, realm, startKdc } from '../support/kdc.ts'
import { localSite } from '../support/localSubject.ts'
import { quietLog } from '../support/quiet-log.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

const examples = new URL('../../config/plugins/', import.meta.url).pathname
const run = promisify(execFile)

async function pluginFor({ keytabs, configuration }: Kdc, lifetime = '10h'): Promise<CredentialsPlugin> {
  const { file } = await resolvePlugin('credentials', './credentials-keytab', examples)
  const options = { keytabs, configuration, realm, lifetime, kinit: program('kinit') ?? '' }
  return await makePlugin('credentials', { package: file, options }, { log: quietLog, now: () => new Date(), fetch })
}

function subjectOf(kdc: Kdc): CredentialsSubject {
  return {
    known: ['alice', 'marie'],
    unknown: 'grace',
    make: () => pluginFor(kdc),
    async cut() {
      await kdc.stop()
      return () => kdc.start()
    },
  }
}

type Breaks = (sound: CredentialsPlugin) => CredentialsPlugin
const broken: Readonly<Record<string, Breaks>> = {
  'gives everybody the same tickets': (sound) => ({
    ticketCache: ({ uid }, signal) => sound.ticketCache({ name: 'alice', uid }, signal),
  }),
  'has none for anybody': () => ({ ticketCache: () => Promise.resolve(undefined) }),
  'calls a failure an absence': (sound) => ({
    ticketCache: (...asked) => sound.ticketCache(...asked).catch(() => undefined),
  }),
  'throws for who has none': (sound) => ({
    async ticketCache(...asked) {
      return (await sound.ticketCache(...asked)) ?? Promise.reject(new Error('none'))
    },
  }),
  'cuts tickets short': (sound) => ({
    async ticketCache(...asked) {
      return (await sound.ticketCache(...asked))?.subarray(0, 200)
    },
  }),
}

test('the example plug-in keeps its contract with a real KDC, and broken ones do not', async (t) => {
  t.timeout(300_000)
  const kdc = await startKdc(t, ['alice', 'marie'])
  if (kdc === undefined) return
  const subject = subjectOf(kdc)
  for (const { title, run: check } of credentialsContract) await t.notThrowsAsync(check(subject), title)
  for (const [what, breaks] of Object.entries(broken)) {
    t.false(await passes(credentialsContract, { ...subject, make: async () => breaks(await pluginFor(kdc)) }), what)
  }
  await chmod(join(kdc.keytabs, 'alice.keytab'), 0o644)
  const loose = await pluginFor(kdc)
  const asked = loose.ticketCache({ name: 'alice', uid: 1 }, AbortSignal.timeout(20_000))
  await t.throwsAsync(asked, { message: /others can read it; chmod 600/ })
})

const deadline = () => AbortSignal.timeout(60_000)

test('an environment has its account’s tickets, sees the renewed ones, and leaves none behind', async (t) => {
  t.timeout(300_000)
  if (!available(t, 'bubblewrap', program('bwrap'), 'apt-get install bubblewrap')) return
  const kdc = await startKdc(t, ['alice'])
  if (kdc === undefined) return
  const ticketFolder = join(await temporaryFolder(t), 'tickets')
  const ticketsOf = pluginTickets(await pluginFor(kdc, '1h'))
  const credentials = createCredentials({ ticketsOf, now: () => new Date(), log: quietLog })
  const site = await localSite(await temporaryFolder(t), undefined, { ticketFolder })
  t.teardown(site.close)
  const context = site.context('tested', { tickets: (spec, signal) => credentials.tickets(spec, signal) })
  const spawner = await createLocal(site.config(), context, site.machine)
  t.teardown(async () => await spawner.close?.())
  // As the user sees it, again and again: whose tickets, of when, and where they lie.
  const line = 'while [ ! -e ~/enough ]; do klist; stat -c "%a %u" "${KRB5CCNAME#FILE:}"; sleep 0.3; done'
  const base = site.spec(['shell', line])
  const [home, raw] = base.mounts
  const spec = {
    ...base,
    mounts: home && raw ? [home, { ...raw, security: 'krb5' as const }] : [],
    tickets: true as const,
  }
  await spawner.ensure(spec, deadline())
  const printed = async () => (await spawner.logs?.(spec.id, deadline())) ?? ''
  await until('klist shows them', async () => /^Default principal: alice@HUTCH\.TEST$/m.test(await printed()), long)
  const { uid, gid } = spec.account
  const path = join(ticketFolder, String(uid), `krb5cc_${spec.id}`)
  const held = await stat(path)
  t.deepEqual([held.mode & 0o777, held.uid, held.gid], [0o600, uid, gid])
  t.regex(await printed(), new RegExp(`^600 ${uid}$`, 'm'))
  t.regex(await printed(), /^Ticket cache: FILE:.*krb5cc_/m)
  t.regex(await printed(), /krbtgt\/HUTCH\.TEST@HUTCH\.TEST/)
  t.deepEqual(await namesOf(join(ticketFolder, String(uid))), [`krb5cc_${spec.id}`], 'no draft is left')
  // Where tickets are is known; what they are is in no argument and no variable.
  const key = (await readFile(path)).subarray(-120, -60).toString('latin1')
  const { stdout } = await run('ps', ['axewww'], { maxBuffer: 2 ** 26, encoding: 'latin1' })
  t.false(stdout.includes(key))

  const first = await readFile(path)
  // Tickets know seconds alone.
  await until('a second is over', async () => {
    const { endsAt } = readTicketCache(await credentials.tickets(spec, deadline()))
    return endsAt > readTicketCache(first).endsAt
  })
  await spawner.renewTickets?.(spec, await credentials.tickets(spec, deadline()), deadline())
  const renewed = readTicketCache(await readFile(path)).endsAt
  t.true(renewed > readTicketCache(first).endsAt)
  const times = async () => new Set((await printed()).match(/^\S+ \S+ {2}\S+ \S+ {2}krbtgt\S+$/gm))
  await until('klist inside shows the renewed ones', async () => (await times()).size > 1, long)

  await writeFile(join(site.home, 'enough'), '')
  await spawner.remove(spec.id, deadline())
  await until('nothing is left', async () => (await namesOf(join(ticketFolder, String(uid)))).length === 0, long)
  await spawner.renewTickets?.(spec, first, deadline())
  t.deepEqual(await namesOf(join(ticketFolder, String(uid))), [], 'what has ended gets none')
})

const long = { timeoutMs: 120_000 }

async function namesOf(folder: string): Promise<readonly string[]> {
  return await readdir(folder)
}
