import test from 'ava'
import { soak } from '../support/proxy-soak.ts'

test('ten minutes of mixed traffic, aborts and route changes leave nothing behind', async (t) => {
  t.timeout(1_800_000)
  await soak(t, { rounds: 6, roundMs: 100_000 })
})
