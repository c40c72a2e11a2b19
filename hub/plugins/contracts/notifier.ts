/** The contract of notifiers: who hands messages on. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { NotifierMessage, NotifierPlugin } from '../plugin.ts'
import { type ContractCase, contractOf, inTime } from './contract.ts'

export interface NotifierSubject {
  /** A new one, as at a start of the hub. */
  make(): Promise<NotifierPlugin>
  /** What has arrived so far, as it arrived. */
  arrived(): Promise<readonly Pick<NotifierMessage, 'to' | 'subject' | 'text'>[]>
  /** Somebody whom messages reach. */
  readonly to: string
  /** From now on nothing can be handed on, until the returned function is called. */
  cut(): Promise<() => Promise<void>>
}

const usual = {
  id: 'visit 1',
  subject: 'grace entered “Lab”',
  text: 'Reason: Ticket 4711\n\nÜber alles: 日本語, 😀.\n',
}
const longestText = 20_000
const arrivesMs = 10_000

const cases: Readonly<Record<string, (plugin: NotifierPlugin, subject: NotifierSubject) => Promise<void>>> = {
  'what it says was sent arrives, once and whole': async (plugin, subject) => {
    const message = { ...usual, to: subject.to }
    assert.deepEqual(await plugin.send(message, inTime()), { is: 'sent' })
    const [first, ...others] = await arrivals(subject, 1)
    assert.equal(first?.to, message.to)
    assert.equal(first?.subject, message.subject, 'the subject is another')
    assert.equal(first?.text.trim(), message.text.trim(), 'the text is another')
    assert.equal(others.length, 0, 'it arrived more than once')
  },
  'a message may be long': async (plugin, subject) => {
    const text = 'A line of it.\n'.repeat(longestText / 14).slice(0, longestText)
    assert.deepEqual(await plugin.send({ ...usual, id: 'long', to: subject.to, text }, inTime()), { is: 'sent' })
    const [first] = await arrivals(subject, 1)
    assert.equal(first?.text.trim().length, text.trim().length, 'it was cut short')
  },
  'ten at once all arrive': async (plugin, subject) => {
    const messages = Array.from({ length: 10 }, (_, index) => ({
      ...usual,
      id: `m${index}`,
      subject: `Message ${index}`,
    }))
    const handed = await Promise.all(messages.map((each) => plugin.send({ ...each, to: subject.to }, inTime())))
    assert.ok(handed.every(({ is }) => is === 'sent'))
    const subjects = (await arrivals(subject, 10)).map((each) => each.subject).toSorted()
    assert.deepEqual(subjects, messages.map((each) => each.subject).toSorted())
  },
  'while nothing can be handed on it says so, and that trying again may help': async (plugin, subject) => {
    const mend = await subject.cut()
    const message = { ...usual, id: 'cut', to: subject.to }
    const handed = await plugin.send(message, inTime()).catch(() => ({ is: 'failed', permanent: false }) as const)
    await mend()
    assert.equal(handed.is, 'failed', 'it says that it was sent, and it can not have been')
    assert.ok(handed.is === 'failed' && !handed.permanent, 'it gives it up for ever')
    assert.deepEqual(await plugin.send(message, inTime()), { is: 'sent' })
    assert.equal((await arrivals(subject, 1)).length, 1)
  },
}

async function arrivals(subject: NotifierSubject, count: number) {
  const until = Date.now() + arrivesMs
  while ((await subject.arrived()).length < count && Date.now() < until) await sleep(20)
  return await subject.arrived()
}

export const notifierContract: readonly ContractCase<NotifierSubject>[] = contractOf<NotifierPlugin, NotifierSubject>(
  cases,
)
