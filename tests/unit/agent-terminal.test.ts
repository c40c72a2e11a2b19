import test from 'ava'
import * as fc from 'fast-check'
import { createScrollback } from '../../images/agent/terminal/scrollback.ts'

const chunks = fc.array(
  fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  { maxLength: 60 },
)

test('law: it keeps the last bytes, never more than allowed, and knows their places', (t) => {
  fc.assert(
    fc.property(chunks, fc.integer({ min: 1, max: 200 }), (pushed, most) => {
      const scrollback = createScrollback(most)
      for (const chunk of pushed) scrollback.push(chunk)
      const all = Buffer.concat(pushed)
      t.is(scrollback.end, all.length)
      const first = Math.max(0, all.length - most)
      for (const offset of [0, first, first + 1, all.length - 1, all.length]) {
        const { start, data } = scrollback.since(offset)
        t.true(data.length <= most)
        t.true(data.equals(all.subarray(start)), 'to the end, without a gap')
        if (offset >= first && offset <= all.length) t.is(start, offset)
        else t.true(start >= first)
      }
    }),
  )
})

test('what was cut begins with a whole line where there is one', (t) => {
  const scrollback = createScrollback(10)
  scrollback.push(Buffer.from('abcdef\nghijkl\nmn'))
  t.deepEqual(scrollback.since(0), { start: 7, data: Buffer.from('ghijkl\nmn') })
  t.is(scrollback.since(999).start, 7)
})
