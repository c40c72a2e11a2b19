/** The contract of authenticators: who checks what is typed into the hub's form. */
import assert from 'node:assert/strict'
import type { AuthenticatorPlugin } from '../plugin.ts'
import { type ContractCase, contractOf, fails, hostileNames, inTime } from './contract.ts'

type Answers = Readonly<Record<string, string>>

export interface AuthenticatorSubject {
  /** A new one, as at a start of the hub. */
  make(): Promise<AuthenticatorPlugin>
  /** Answers that are right, each another person's, and that person's name. */
  readonly right: readonly [Right, Right, ...Right[]]
  /** The field that says who it is, and the one that proves it. */
  readonly who: string
  readonly proof: string
  /** From now on what it asks can't be asked, until the returned function is called. Absent: it asks nobody. */
  cut?(): Promise<() => Promise<void>>
}

interface Right {
  readonly answers: Answers
  readonly name: string
}

const from = { address: '192.0.2.7' }
const longestText = 1_024

const cases: Readonly<Record<string, (plugin: AuthenticatorPlugin, subject: AuthenticatorSubject) => Promise<void>>> = {
  'what it asks for can be asked for': async (plugin, { who }) => {
    const { fields } = plugin
    if (fields === undefined) return
    assert.ok(fields.length >= 1 && fields.length <= 6, `it asks for ${fields.length} things; one to six are possible`)
    assert.equal(new Set(fields.map(({ name }) => name)).size, fields.length, 'two fields have one name')
    assert.equal(fields[0]?.name, who, 'the first field says who it is')
    assert.equal(fields[0]?.secret, false, 'who it is is no secret')
  },
  'who is right is known, and known again': async (plugin, { right, proof }) => {
    const subjects = new Set<string>()
    for (const { answers, name } of right) {
      const person = await plugin.authenticate(answers, inTime(), from)
      assert.equal(person?.name, name, `${name} is right, and it said ${person?.name ?? 'no'}`)
      const again = await plugin.authenticate(answers, inTime(), from)
      assert.equal(again?.subject, person.subject, `${name}: the subject changes from login to login`)
      const told = JSON.stringify(person)
      assert.ok(!told.includes(answers[proof] ?? ''), `${name}: what was typed in secret comes back in the answer`)
      subjects.add(person.subject)
    }
    assert.equal(subjects.size, right.length, 'two people have one subject')
  },
  'who is wrong is not let in, and that is no failure': async (plugin, { right, who, proof }) => {
    const [one, other] = right
    const wrong = [
      { ...one.answers, [proof]: `${one.answers[proof]}x` },
      { ...one.answers, [proof]: one.answers[proof]?.slice(0, -1) || 'x' },
      { ...one.answers, [proof]: other.answers[proof] ?? '' },
      { ...one.answers, [who]: `${one.answers[who]}x` },
    ]
    for (const answers of wrong) {
      const person = await plugin.authenticate(answers, inTime(), from)
      assert.equal(person, undefined, `${JSON.stringify(answers)} was taken for right`)
    }
  },
  'no name and no password gets anybody in, and none breaks it': async (plugin, { right, who, proof }) => {
    const [{ answers }] = right
    const texts = hostileNames.filter((text) => text.trim() !== '').map((text) => text.slice(0, longestText))
    for (const text of texts) {
      const person = await plugin.authenticate({ ...answers, [who]: text }, inTime(), from)
      assert.equal(person, undefined, `the name ${JSON.stringify(text.slice(0, 20))} was somebody's`)
    }
    for (const text of texts) {
      const person = await plugin.authenticate({ ...answers, [proof]: text }, inTime(), from)
      assert.equal(person, undefined, `${JSON.stringify(text.slice(0, 20))} was taken for the proof`)
    }
    assert.ok(await plugin.authenticate(answers, inTime(), from), 'after strange answers nobody is right any more')
  },
  'fifty at once are not mixed up': async (plugin, { right, proof }) => {
    const tries = Array.from({ length: 50 }, (_, index) => {
      const one = right[index % right.length] ?? right[0]
      const isWrong = index % 5 === 0
      const answers = isWrong ? { ...one.answers, [proof]: 'something else' } : one.answers
      return { answers, name: isWrong ? undefined : one.name }
    })
    const people = await Promise.all(tries.map(({ answers }) => plugin.authenticate(answers, inTime(), from)))
    for (const [index, person] of people.entries()) {
      assert.equal(person?.name, tries[index]?.name, 'somebody was taken for another')
    }
  },
  'what it asks is away: it throws, for then nobody knows': async (plugin, subject) => {
    const [{ answers, name }] = subject.right
    const mend = await subject.cut?.()
    if (mend === undefined) return
    try {
      await fails('what it asks is away', () => plugin.authenticate(answers, inTime(), from))
    } finally {
      await mend()
    }
    assert.equal((await plugin.authenticate(answers, inTime(), from))?.name, name, 'it is back, and nobody is right')
  },
}

export const authenticatorContract: readonly ContractCase<AuthenticatorSubject>[] = contractOf<
  AuthenticatorPlugin,
  AuthenticatorSubject
>(cases)
