/** The contract of catalogues. */
import assert from 'node:assert/strict'
import { pluginCatalogue } from '../catalogue.ts'
import type { CataloguePlugin } from '../plugin.ts'
import { type ContractCase, contractOf, fails, hostileNames, inTime } from './contract.ts'

export interface CatalogueSubject {
  /** A new one, as at a start of the hub. */
  make(): Promise<CataloguePlugin>
  /** Somebody who has these proposals, newest first: at least three. */
  readonly member: Readonly<{ user: string; proposals: readonly [string, string, string, ...string[]] }>
  /** A proposal that somebody else has, and the member has not; and its instrument, which the member's have not. */
  readonly foreign: Readonly<{ id: string; instrument: string }>
  /** A word of the title of the member's first proposal, and of no other of theirs. */
  readonly word: string
  /** A dataset of the member's first proposal, and one of the foreign one. Absent: it knows of no datasets. */
  readonly datasets?: Readonly<{ own: string; foreign: string }>
  /** From now on what it asks can't be asked, until the returned function is called. Absent: it asks nobody. */
  cut?(): Promise<() => Promise<void>>
}

const deadlineMs = 10_000
const all = { words: [], offset: 0, limit: 200 } as const

/** As the hub asks it. */
function asHub(plugin: CataloguePlugin) {
  const source = pluginCatalogue(plugin, { deadlineMs })
  const seer = (name: string, instruments: readonly string[] = []) => ({
    user: { id: `u-${name}`, name, title: name, admin: false },
    instruments,
  })
  return { source, seer }
}

const ids = (items: readonly { readonly id: string }[]): string[] => items.map(({ id }) => id)

type Check = (plugin: CataloguePlugin, subject: CatalogueSubject) => Promise<void>

const cases: Readonly<Record<string, Check>> = {
  'each person has their own, newest first, as often as asked': async (plugin, { member }) => {
    const { source, seer } = asHub(plugin)
    for (const _ of [1, 2]) {
      const page = await source.page(seer(member.user), all, inTime())
      assert.equal(page.wrong, 0, 'some of its rows are no proposals')
      assert.deepEqual(ids(page.items), member.proposals, 'not these proposals in this order')
      assert.equal(page.total, member.proposals.length, 'total is not how many there are')
    }
  },
  'pages: no more than was asked for, none twice, none lost': async (plugin, { member }) => {
    const { source, seer } = asHub(plugin)
    const seen: string[] = []
    for (let offset = 0; offset < member.proposals.length + 2; offset += 2) {
      const raw = await plugin.proposals({ user: member.user, instruments: [] }, { ...all, offset, limit: 2 }, inTime())
      assert.ok(raw.items.length <= 2, `${raw.items.length} items came where 2 were asked for`)
      seen.push(...ids((await source.page(seer(member.user), { ...all, offset, limit: 2 }, inTime())).items))
    }
    assert.deepEqual(seen, member.proposals, 'the pages together are not the whole')
  },
  'words find, in any case, and only what is one’s own': async (plugin, { member, word, foreign }) => {
    const { source, seer } = asHub(plugin)
    const find = async (...words: string[]) =>
      ids(
        (await source.page(seer(member.user), { ...all, words: words.map((each) => each.toLowerCase()) }, inTime()))
          .items,
      )
    assert.deepEqual(await find(word), [member.proposals[0]], `${word} does not find the one that has it`)
    assert.deepEqual(await find(word, 'surely-nowhere-0'), [], 'all words must be found')
    assert.deepEqual(await find(foreign.id), [], 'a search finds what is somebody else’s')
  },
  'entitlement: those that are asked for and are one’s own, and nothing else': async (plugin, { member, foreign }) => {
    const { source, seer } = asHub(plugin)
    const [first, second] = member.proposals
    const asked = [second, foreign.id, 'surely-nowhere-0', first]
    const found = await source.byIds(seer(member.user), asked, inTime())
    assert.deepEqual(ids(found.items).toSorted(), [first, second].toSorted())
    assert.deepEqual((await source.byIds(seer('nobody-here'), [first, foreign.id], inTime())).items, [])
  },
  'who looks after an instrument has its proposals beside their own': async (plugin, { member, foreign }) => {
    const { source, seer } = asHub(plugin)
    const [own] = member.proposals
    const who = seer(member.user, [foreign.instrument])
    assert.deepEqual(
      ids((await source.byIds(who, [own, foreign.id], inTime())).items).toSorted(),
      [own, foreign.id].toSorted(),
    )
    assert.ok(ids((await source.page(who, all, inTime())).items).includes(foreign.id), 'it is not among the pages')
  },
  'no name finds somebody else’s, and none breaks it': async (plugin, { member, foreign }) => {
    const { source, seer } = asHub(plugin)
    for (const name of hostileNames) {
      const shown = JSON.stringify(name.slice(0, 20))
      assert.deepEqual((await source.page(seer(name), all, inTime())).items, [], `${shown} has proposals`)
      const found = await source.byIds(seer(name), [member.proposals[0], foreign.id], inTime())
      assert.deepEqual(found.items, [], `${shown} is entitled`)
      await source.page(seer(member.user), { ...all, words: [name.toLowerCase()] }, inTime())
      assert.deepEqual((await source.byIds(seer(member.user), [name], inTime())).items, [], `${shown} is a proposal`)
    }
    assert.equal((await source.page(seer(member.user), all, inTime())).total, member.proposals.length)
  },
  'datasets are those of the proposal, page by page': async (plugin, { member, foreign, datasets }) => {
    if (datasets === undefined) return
    const { source, seer } = asHub(plugin)
    const [own] = member.proposals
    const page = await source.datasets(seer(member.user), own, all, inTime())
    assert.equal(page.wrong, 0, 'some of its rows are no datasets')
    assert.ok(ids(page.items).includes(datasets.own), 'its dataset is not there')
    assert.equal(page.total, page.items.length)
    const one = await source.datasets(seer(member.user), own, { ...all, limit: 1 }, inTime())
    assert.equal(one.items.length, 1)
    const asked = [datasets.own, datasets.foreign, 'surely-nowhere-0']
    assert.deepEqual(ids((await source.datasetsByIds(seer(member.user), own, asked, inTime())).items), [datasets.own])
    const closed = await source.datasetsByIds(seer(member.user), foreign.id, [datasets.foreign], inTime())
    assert.deepEqual(closed.items, [], 'a dataset of somebody else’s proposal is told')
  },
  'what it asks is away: it throws, for then nobody knows': async (plugin, subject) => {
    const who = { user: subject.member.user, instruments: [] }
    const mend = await subject.cut?.()
    if (mend === undefined) return
    try {
      await fails('proposals', () => plugin.proposals(who, all, inTime()))
      await fails('proposalsByIds', () => plugin.proposalsByIds(who, [...subject.member.proposals], inTime()))
    } finally {
      await mend()
    }
    assert.equal((await plugin.proposals(who, all, inTime())).total, subject.member.proposals.length, 'it is back')
  },
}

export const catalogueContract: readonly ContractCase<CatalogueSubject>[] = contractOf<
  CataloguePlugin,
  CatalogueSubject
>(cases)
