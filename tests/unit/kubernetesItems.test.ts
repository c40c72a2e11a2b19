import test from 'ava'
import { array, assert as holds, boolean, jsonValue, object as anyObject, property, record } from 'fast-check'
import { readItems } from '../../spawners/kubernetes/items.ts'

function read(text: string): { items: unknown[]; rest: unknown } {
  const items: unknown[] = []
  const rest = readItems(text, (item) => void items.push(item))
  return { items, rest }
}

test('a list read item by item is what is read at once', (t) => {
  const list = record({
    kind: jsonValue(),
    metadata: anyObject({ maxDepth: 2 }),
    items: array(jsonValue()),
    more: jsonValue(),
  })
  const same = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other)
  t.notThrows(() =>
    holds(
      property(list, boolean(), (value, isWide) => {
        const text = JSON.stringify(value, undefined, isWide ? 2 : 0)
        const { items, ...others } = JSON.parse(text) as { items: unknown[] }
        const { items: found, rest } = read(text)
        return same(found, items) && same({ ...(rest as object), items: undefined }, { ...others, items: undefined })
      }),
      { numRuns: 500 },
    ),
  )
})

test('what is no list is left whole; what is no JSON is refused', (t) => {
  for (const value of [{ kind: 'Status' }, [], [1], 'items', null, { items: null }, { metadata: { items: [1] } }]) {
    t.deepEqual(read(JSON.stringify(value)), { items: [], rest: value })
  }
  for (const text of [
    '',
    '{',
    '{"items":[',
    '{"items":[{}',
    '{"items":[{} {}]}',
    '{"items":[,]}',
    '{"items":[1,]',
    '{"items":["a]}',
  ]) {
    t.throws(() => read(text), { instanceOf: SyntaxError }, text)
  }
})
