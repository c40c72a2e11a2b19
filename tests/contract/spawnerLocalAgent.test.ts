import { once } from 'node:events'
import { chmod } from 'node:fs/promises'
import { createServer } from 'node:https'
import test, { type ExecutionContext } from 'ava'
import { bundleAgent } from '../../images/agent/bundle.ts'
import { pskServer } from '../../images/agent/link.ts'
import { spawnerContract } from '../../spawners/contract.ts'
import type { SpawnerContext } from '../../spawners/spawner.ts'
import { available, program } from '../support/component.ts'
import { portOf } from '../support/fakeAgents.ts'
import { localSite, localSubject } from '../support/localSubject.ts'
import { agentApplication, spawnerContext, testKey } from '../support/spawnerSubject.ts'
import { temporaryFolder } from '../support/temporary.ts'

/** The whole contract once more with the agent that users get, and a listener that takes its reports. */
test('local with the real agent: the whole contract', async (t) => {
  if (!available(t, 'bubblewrap', program('bwrap'), 'apt-get install bubblewrap')) return
  const reports = await reportListener(t)
  const folder = await temporaryFolder(t)
  await chmod(folder, 0o755)
  const { script, nodeFlags } = await bundleAgent(folder)
  const part: Partial<SpawnerContext> = {
    agent: { argv: [process.execPath, ...nodeFlags, script], folder },
    bootstrap: (spec) => ({
      ...spawnerContext({ hub: spec.hub }).bootstrap(spec),
      report: { host: '127.0.0.1', port: reports.port },
    }),
  }
  for (const { title, run } of spawnerContract) {
    const site = await localSite(await temporaryFolder(t), undefined, {}, part)
    t.teardown(site.close)
    await t.notThrowsAsync(run({ ...localSubject(site, agentApplication), patienceMs: 60_000 }), title)
  }
  t.true(reports.count() > spawnerContract.length / 2, `${reports.count()} reports`)
})

async function reportListener(t: ExecutionContext): Promise<{ port: number; count: () => number }> {
  let count = 0
  const server = createServer(
    pskServer((id) => Buffer.from(testKey(id), 'base64url')),
    (request, response) => {
      count += 1
      request.resume()
      response.writeHead(204).end()
    },
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return { port: portOf(server), count: () => count }
}
