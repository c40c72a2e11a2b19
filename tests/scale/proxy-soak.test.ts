import test from 'ava'
import { soak, soakHttp2 } from '../support/proxy-soak.ts'

test('ten minutes of mixed traffic, aborts and route changes leave nothing behind', async (t) => {
  t.timeout(1_800_000)
  await soak(t, { rounds: 6, roundMs: 100_000 })
})

test('five minutes of the same by HTTP/2 leave nothing behind', async (t) => {
  t.timeout(1_200_000)
  await soakHttp2(t, { rounds: 3, roundMs: 100_000 })
})
