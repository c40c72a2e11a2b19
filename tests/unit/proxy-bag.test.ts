import { ok } from 'node:assert/strict'
import test from 'ava'
import { array, assert, constantFrom, nat, property, record } from 'fast-check'
import { createBag, type Bagged } from '../../proxy/bag.ts'

test('a bag holds what a set would hold, whatever came and went', (t) => {
  const step = record({ do: constantFrom('add', 'delete'), index: nat(7) })
  assert(
    property(array(step, { maxLength: 200 }), (steps) => {
      const items: Bagged[] = Array.from({ length: 8 }, () => ({ slot: -1 }))
      const bag = createBag<Bagged>()
      const set = new Set<Bagged>()
      for (const { do: what, index } of steps) {
        const item = items[index] ?? { slot: -1 }
        if (what === 'delete') ok(bag.delete(item) === set.delete(item))
        else {
          bag.add(item)
          set.add(item)
        }
        ok(bag.size === set.size && [...bag].every((each) => set.has(each)))
      }
    }),
  )
  t.pass()
})

test('what is taken out as all are looked at costs nobody their turn', (t) => {
  const items: Bagged[] = Array.from({ length: 5 }, () => ({ slot: -1 }))
  const bag = createBag<Bagged>()
  for (const item of items) bag.add(item)
  const seen: Bagged[] = []
  for (const item of bag) {
    seen.push(item)
    bag.delete(item)
  }
  t.deepEqual(seen, items)
  t.is(bag.size, 0)
})
