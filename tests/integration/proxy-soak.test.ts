import test from 'ava'
import { soak } from '../support/proxy-soak.ts'

test('half a minute of mixed traffic, aborts and route changes leaves nothing behind', async (t) => {
  t.timeout(300_000)
  await soak(t, { rounds: 3, roundMs: 4_000 })
})
