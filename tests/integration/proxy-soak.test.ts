import test from 'ava'
import { soak, soakHttp2 } from '../support/proxy-soak.ts'

test('half a minute of mixed traffic, aborts and route changes leaves nothing behind', async (t) => {
  t.timeout(300_000)
  await soak(t, { rounds: 3, roundMs: 4_000 })
})

test('a few seconds of the same by HTTP/2 leave nothing behind', async (t) => {
  t.timeout(300_000)
  await soakHttp2(t, { rounds: 2, roundMs: 3_000 })
})
