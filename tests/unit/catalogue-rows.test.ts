/** Rows of foreign catalogues: what is taken, put right, left away and left out. */
import test from 'ava'
import * as fc from 'fast-check'
import { readRows, type Row } from '../../hub/catalogue/rows.ts'
import { proposalIdPattern } from '../../hub/domain/proposal-id.ts'

const sound: Row = { id: 'p1', title: 'T', instrument: 'I' }

const leftOut: readonly (readonly [what: string, more: Partial<Row>])[] = [
  ['an id that climbs', { id: '../../etc' }],
  ['an id with a slash', { id: 'a/b' }],
  ['an id with dots', { id: 'a..b' }],
  ['an empty id', { id: '' }],
  ['an id of 65 characters', { id: 'x'.repeat(65) }],
  ['an id that begins like an option', { id: '-rf' }],
  ['an id with a line break', { id: 'p1\n' }],
  ['a number for an id', { id: 1 }],
  ['no id', { id: null }],
  ['no title', { title: undefined }],
  ['an object for a title', { title: {} }],
  ['a number for an instrument', { instrument: 7 }],
  ['a number for a date', { startsAt: 1_700_000_000 }],
  ['a list for fields', { fields: ['a'] }],
  ['a truth for a technique', { technique: true }],
]
for (const [what, more] of leftOut) {
  test(`left out and counted: ${what}`, (t) => {
    t.deepEqual(readRows([{ ...sound, ...more }, sound]), {
      items: [{ id: 'p1', title: 'T', instrument: 'I', fields: {} }],
      wrong: 1,
      twice: [],
    })
  })
}

const dates: readonly (readonly [text: string | null, read: string | undefined])[] = [
  ['2026-03-10', '2026-03-10T00:00:00.000Z'],
  ['2026-03-10T08:00:00Z', '2026-03-10T08:00:00.000Z'],
  ['2026-03-10T08:00:00.000+01:00', '2026-03-10T07:00:00.000Z'],
  ['2026-03-10T08:00:00', '2026-03-10T08:00:00.000Z'],
  ['9999-12-31', undefined],
  ['0001-01-01T00:00:00Z', undefined],
  ['+275760-09-13T00:00:00.000Z', undefined],
  ['2026-02-31', undefined],
  ['tomorrow', undefined],
  ['', undefined],
  [null, undefined],
]
for (const [text, read] of dates) {
  test(`a date is real or left away: ${String(text)}`, (t) => {
    const [proposal] = readRows([{ ...sound, startsAt: text }]).items
    t.is(proposal?.startsAt?.toISOString(), read)
  })
}

test('odd texts are put right: long ones, line breaks, changes of direction, nothing', (t) => {
  const [long, broken, none] = readRows([
    { id: 'a', title: 'x'.repeat(1_000_000), instrument: null },
    { id: 'b', title: ' two\r\nlines \u202E\u0000 ', instrument: ' ' },
    { id: 'c', title: '\u200A', endsAt: '2020-01-01', startsAt: '2021-01-01' },
  ]).items
  t.is(long?.title.length, 300)
  t.deepEqual([broken?.title, broken?.instrument], ['two lines', '—'])
  t.deepEqual([none?.title, none?.startsAt?.getUTCFullYear(), none?.endsAt], ['c', 2021, undefined])
})

test('law: whatever the rows, what comes out is a proposal, each id once, and no row is lost uncounted', (t) => {
  const row = fc.record({
    id: fc.oneof(fc.constantFrom('a', 'b', '..', 'c'), fc.anything()),
    title: fc.oneof(fc.string({ unit: 'binary' }), fc.anything()),
    instrument: fc.oneof(fc.string(), fc.anything()),
    startsAt: fc.oneof(fc.string(), fc.date({ noInvalidDate: true }).map(String), fc.anything()),
    fields: fc.oneof(fc.dictionary(fc.string(), fc.anything()), fc.anything()),
    notebook: fc.oneof(fc.string(), fc.anything()),
  })
  const law = fc.property(fc.array(row, { maxLength: 10 }), (rows) => {
    const { items: proposals, wrong, twice } = readRows(rows)
    const once = new Set(proposals.map(({ id }) => id)).size === proposals.length
    const sane = proposals.every(
      ({ id, title, fields }) =>
        proposalIdPattern.test(id) &&
        title.length <= 300 &&
        !/[\p{Cc}\u202E]/u.test(title) &&
        Object.values(fields).every((value) => typeof value === 'string'),
    )
    return (
      once &&
      sane &&
      proposals.length + wrong <= rows.length &&
      twice.length > 0 === proposals.length + wrong < rows.length
    )
  })
  t.notThrows(() => fc.assert(law, { numRuns: 300 }))
})
