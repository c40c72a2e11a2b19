/** Buffers that are used again: never while somebody still reads from them, or into them. */
import { once } from 'node:events'
import { connect, createServer, Socket, type AddressInfo } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import test from 'ava'
import { createInlets, type Inlet, type Inlets } from '../../proxy/forward/inlets.ts'

const record = 16_384

interface Reading {
  readonly inlet: Inlet
  /** As Node does: what the kernel gives goes into the buffer that was named last, and another is asked for. */
  readonly arrives: (length: number, fill: number) => void
  readonly taken: Buffer[]
}

function read(inlets: Inlets): Reading {
  const inlet = inlets.open({ records: true })
  const taken: Buffer[] = []
  inlet.take = (chunk) => taken.push(chunk)
  let buffer = inlet.onread.buffer()
  return {
    inlet,
    taken,
    arrives(length, fill) {
      buffer.fill(fill, 0, length)
      inlet.onread.callback(length)
      buffer = inlet.onread.buffer()
    },
  }
}

/** Each run of one value, as [value, length]. */
function runs(chunks: readonly Buffer[]): [number, number][] {
  const found: [number, number][] = []
  for (const value of Buffer.concat(chunks)) {
    const last = found.at(-1)
    if (last?.[0] === value) last[1] += 1
    else found.push([value, 1])
  }
  return found
}

test('whole records in a row are one chunk; a short one ends it', (t) => {
  const { arrives, taken } = read(createInlets())
  for (const value of [1, 2, 3, 4]) arrives(record, value)
  t.deepEqual(
    taken.map(({ length }) => length),
    [4 * record],
  )
  arrives(record, 5)
  arrives(10, 6)
  arrives(20, 7)
  t.deepEqual(
    taken.map(({ length }) => length),
    [4 * record, record + 10, 20],
  )
  t.deepEqual(
    runs(taken).map(([value]) => value),
    [1, 2, 3, 4, 5, 6, 7],
  )
})

test('what nothing follows is given in the same turn, or before an end is told', async (t) => {
  const { arrives, taken, inlet } = read(createInlets())
  arrives(record, 1)
  await turn()
  arrives(record, 2)
  inlet.flush()
  inlet.flush()
  await turn()
  t.deepEqual(runs(taken), [
    [1, record],
    [2, record],
  ])
})

test('a chunk that came late is not used again: what follows it arrives in the rest of its buffer', async (t) => {
  const inlets = createInlets()
  const [one, other] = [read(inlets), read(inlets)]
  one.arrives(record, 1)
  await turn()
  const [early] = one.taken
  if (early !== undefined) inlets.giveBack(early, new Socket())
  other.arrives(record, 9)
  one.arrives(record, 2)
  other.arrives(record, 9)
  one.arrives(record, 3)
  one.arrives(1, 4)
  other.arrives(1, 9)
  t.deepEqual(runs(one.taken.slice(1)), [
    [2, record],
    [3, record],
    [4, 1],
  ])
  t.deepEqual(runs(other.taken), [[9, 2 * record + 1]])
})

test('a chunk is used again when the socket that it was written to has copied it, and not before', async (t) => {
  const server = createServer((socket) => socket.resume())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const inlets = createInlets()
  const chunkOf = (value: number): Buffer => {
    const { arrives, taken } = read(inlets)
    for (let index = 0; index < 4; index += 1) arrives(record, value)
    return taken[0] ?? Buffer.alloc(0)
  }
  // Until it is connected it keeps what is written.
  const slow = connect((server.address() as AddressInfo).port, '127.0.0.1')
  t.teardown(() => slow.destroy())
  const first = chunkOf(1)
  slow.write(first)
  inlets.giveBack(first, slow)
  const second = chunkOf(2)
  t.true(second.buffer !== first.buffer, 'the socket still holds it')
  inlets.drained(slow)
  t.true(chunkOf(3).buffer !== first.buffer, 'it was not drained')
  t.deepEqual(runs([first]), [[1, 4 * record]])
  inlets.giveBack(second, slow)
  await once(slow, 'drain')
  inlets.drained(slow)
  t.true(chunkOf(4).buffer === second.buffer, 'written')
})
