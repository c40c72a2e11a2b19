/** The contract of the user office's matching: whose an identity is that nobody here has yet. */
import assert from 'node:assert/strict'
import type { MatchingPlugin, OutsideIdentity } from '../plugin.ts'
import { type ContractCase, contractOf, fails, hostileNames, inTime } from './contract.ts'

export interface MatchingSubject {
  /** A new one, as at a start of the hub. */
  make(): Promise<MatchingPlugin>
  /** Identities that it knows, each another person's, and their account. */
  readonly known: readonly [Known, Known, ...Known[]]
  /** From now on what it asks can't be asked, until the returned function is called. Absent: it asks nobody. */
  cut?(): Promise<() => Promise<void>>
}

interface Known {
  readonly identity: OutsideIdentity
  readonly account: string
}

const strange = 'nobody-has-this'

/** Everything that an identity may say of itself, as the one whose it would like to be. */
const claimsOf = (account: string): OutsideIdentity['claims'] => ({
  sub: account,
  name: account,
  preferred_username: account,
  email: `${account}@example.org`,
  email_verified: true,
  account,
})

const cases: Readonly<Record<string, (plugin: MatchingPlugin, subject: MatchingSubject) => Promise<void>>> = {
  'whose it is, is told, as often as asked': async (plugin, { known }) => {
    for (const { identity, account } of known) {
      assert.deepEqual(await plugin.match(identity, inTime()), { account }, `it is ${account}'s`)
      assert.deepEqual(await plugin.match(identity, inTime()), { account }, `${account}: the second answer differs`)
    }
  },
  "nobody's is nobody's, and that is no failure": async (plugin, { known: [{ identity }] }) => {
    const { legacyHash: _, ...without } = identity
    assert.equal(await plugin.match({ ...without, subject: strange }, inTime()), undefined)
  },
  "the same subject of another issuer is another person's": async (plugin, { known }) => {
    for (const { identity, account } of known) {
      const elsewhere = { ...identity, issuer: `${identity.issuer}.example.org` }
      assert.equal(await plugin.match(elsewhere, inTime()), undefined, `another issuer's was taken for ${account}'s`)
    }
  },
  'no name and no address makes it somebody': async (plugin, { known }) => {
    for (const { identity, account } of known) {
      const { legacyHash: _, ...without } = identity
      const pretends = { ...without, subject: strange, claims: claimsOf(account) }
      assert.equal(await plugin.match(pretends, inTime()), undefined, `claims made it ${account}'s`)
    }
  },
  'no subject and no old hash finds somebody else, and none breaks it': async (plugin, { known: [one] }) => {
    const { legacyHash: _, ...without } = one.identity
    for (const text of hostileNames) {
      const said = JSON.stringify(text.slice(0, 20))
      assert.equal(await plugin.match({ ...without, subject: text }, inTime()), undefined, `${said} was somebody's`)
      const old = { ...without, subject: strange, legacyHash: text }
      assert.equal(await plugin.match(old, inTime()), undefined, `the old hash ${said} was somebody's`)
    }
    assert.deepEqual(await plugin.match(one.identity, inTime()), { account: one.account }, 'it knows nobody any more')
  },
  'fifty at once are not mixed up': async (plugin, { known }) => {
    const asked = Array.from({ length: 50 }, (_, index) => known[index % known.length] ?? known[0])
    const found = await Promise.all(asked.map(({ identity }) => plugin.match(identity, inTime())))
    assert.deepEqual(
      found.map((each) => each?.account),
      asked.map(({ account }) => account),
    )
  },
  'what it asks is away: it throws, for then nobody knows': async (plugin, subject) => {
    const [{ identity, account }] = subject.known
    const mend = await subject.cut?.()
    if (mend === undefined) return
    try {
      await fails('what it asks is away', () => plugin.match(identity, inTime()))
    } finally {
      await mend()
    }
    assert.deepEqual(await plugin.match(identity, inTime()), { account }, 'it is back, and knows nobody')
  },
}

export const matchingContract: readonly ContractCase<MatchingSubject>[] = contractOf<MatchingPlugin, MatchingSubject>(
  cases,
)
