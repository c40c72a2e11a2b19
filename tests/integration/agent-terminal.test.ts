import test from 'ava'
import { startAgent } from '../support/agent.ts'

test('a terminal environment is ready at once, and its page and list are there', async (t) => {
  const agent = await startAgent(t)
  await agent.untilReady()
  const page = await agent.ask(`${agent.prefix}_hutch/terminal/`)
  t.is(page.status, 200)
  t.regex(page.body, /Terminal · alice/)
  t.is(await agent.stop(), 0)
})
