/** The contract of credential plug-ins: whose tickets are whose. */
import assert from 'node:assert/strict'
import { pluginTickets } from '../credentials.ts'
import type { CredentialsPlugin } from '../plugin.ts'
import { type ContractCase, contractOf, fails, hostileNames, inTime } from './contract.ts'

export interface CredentialsSubject {
  /** A new one, as at a start of the hub. */
  make(): Promise<CredentialsPlugin>
  /** Names of accounts that it has tickets for. */
  readonly known: readonly [string, string, ...string[]]
  readonly unknown: string
  /** From now on whoever makes tickets does not answer, until the returned function is called. */
  cut(): Promise<() => Promise<void>>
}

type Check = (plugin: CredentialsPlugin, subject: CredentialsSubject) => Promise<void>

const cases: Readonly<Record<string, Check>> = {
  'who has a principal gets tickets of their own that go on for a while, as often as asked': async (
    plugin,
    subject,
  ) => {
    for (const name of subject.known) {
      for (const time of ['first', 'second']) {
        const tickets = await found(plugin, name)
        assert.ok(tickets, `${name} has a principal, and got no tickets the ${time} time`)
        assert.ok(tickets.endsAt.getTime() > Date.now() + 5_000, `${name}: the tickets are over already`)
      }
    }
  },
  'who has none is told so, and that is no failure': async (plugin, { unknown }) => {
    assert.equal(await found(plugin, unknown), undefined, `${unknown} has no principal`)
  },
  "no name gets somebody else's tickets, and none breaks it": async (plugin, { known }) => {
    for (const name of hostileNames) {
      const tickets = await plugin.ticketCache({ name, uid: 12_001 }, inTime())
      assert.equal(tickets, undefined, `${JSON.stringify(name.slice(0, 20))} got tickets`)
    }
    assert.ok(await found(plugin, known[0]), 'after strange names it has no tickets any more')
  },
  'ten at once get their own each': async (plugin, { known, unknown }) => {
    const names = Array.from({ length: 10 }, (_, index) => (index % 5 === 0 ? unknown : known[index % known.length]))
    const all = await Promise.all(names.map((name) => found(plugin, name ?? unknown)))
    for (const [index, tickets] of all.entries()) {
      assert.equal(tickets !== undefined, names[index] !== unknown, 'tickets were mixed up')
    }
  },
  'those that are asked for later end no sooner': async (plugin, { known }) => {
    const [first, second] = [await found(plugin, known[0]), await found(plugin, known[0])]
    assert.ok(first && second && second.endsAt >= first.endsAt, 'a renewal would shorten them')
  },
  'whoever makes them is away: it throws, for then nobody knows': async (plugin, subject) => {
    const mend = await subject.cut()
    try {
      await fails('nobody makes tickets', () => plugin.ticketCache({ name: subject.known[0], uid: 12_001 }, inTime()))
    } finally {
      await mend()
    }
    assert.ok(await found(plugin, subject.known[0]), 'it is back, and there are no tickets')
  },
}

/** As the hub takes them: read, and of this account alone. */
async function found(plugin: CredentialsPlugin, name: string) {
  const account = { name, uid: 12_001, gid: 12_001, groups: [], home: '/home', shell: '/bin/sh' }
  return await pluginTickets(plugin)(account, inTime())
}

export const credentialsContract: readonly ContractCase<CredentialsSubject>[] = contractOf<
  CredentialsPlugin,
  CredentialsSubject
>(cases)
