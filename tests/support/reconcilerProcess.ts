/**
 * A hub without pages, as a process that can be killed: store, loops, agents' listener, the fake spawner.
 * `node tests/support/reconcilerProcess.ts <state folder> <backend url> <agents' port>`; on standard input one
 * command a line ({"launch": [id, …]}), on standard output one line for each that is done.
 */
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { Registry } from 'prom-client'
import type { Configuration } from '../../config/schema.ts'
import { agentsServer } from '../../hub/http/agents.ts'
import { createEnvironments, type Reconciled } from '../../hub/reconcile/index.ts'
import { openStore, type Store } from '../../hub/store/index.ts'
import { agentKey } from '../../images/agent/link.ts'
import type { EnvironmentId } from '../../spawners/spawner.ts'
import fakeSpawner from './fakeSpawner.ts'
import { newRow } from './rows.ts'
import { silentLog, spawnerContext } from './spawnerSubject.ts'

export interface Reconciler extends Reconciled {
  readonly store: Store
  stop(): Promise<void>
}

const agentsKey = Buffer.alloc(32, 7)

export async function startReconciler(
  stateFolder: string,
  backendUrl: string,
  agentsPort: number,
  database: Configuration['database'] = { type: 'sqlite' },
): Promise<Reconciler> {
  const store = await openStore(database, { stateFolder, log: silentLog })
  const base = spawnerContext({ hub: 'h' })
  const spawner = await fakeSpawner.create(
    { url: backendUrl, visibilityLagMs: 0 },
    {
      ...base,
      bootstrap: (spec) => ({
        ...base.bootstrap(spec),
        key: agentKey(agentsKey, spec.id).toString('base64url'),
        report: { host: '127.0.0.1', port: agentsPort },
      }),
    },
  )
  const reconciled = createEnvironments({
    store,
    spawners: new Map([['fake', spawner]]),
    agentsKey,
    settings: {
      hub: 'h',
      hosts: undefined,
      startTimeoutMs: () => 60_000,
      times: {
        actionTimeoutMs: 3_000,
        probeTimeoutMs: 1_000,
        observeTimeoutMs: 2_000,
        unreachableRetryMs: 1_000,
        silentAfterMs: 2_000,
      },
    },
    now: () => new Date(),
    log: silentLog,
    metrics: new Registry(),
  })
  await reconciled.start()
  const server = agentsServer({ ...reconciled, notices: { of: () => Promise.resolve(undefined) }, log: silentLog })
  server.listen(agentsPort, '127.0.0.1')
  await once(server, 'listening')
  return {
    ...reconciled,
    store,
    async stop() {
      server.closeAllConnections()
      server.close()
      await reconciled.close()
      await store.close()
    },
  }
}

async function main([folder = '', url = '', port = '']: readonly string[]): Promise<void> {
  const hub = await startReconciler(folder, url, Number(port))
  process.stdout.write('ready\n')
  for await (const line of createInterface(process.stdin)) {
    const { launch }: { launch: EnvironmentId[] } = JSON.parse(line)
    for (const id of launch) {
      const row = newRow({ id, userId: `u${Number(id.slice(1)) % 100}`, spawner: 'fake', now: new Date() })
      void hub.environments.launch(row, () => undefined).then(() => process.stdout.write(`${id}\n`))
    }
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) void main(process.argv.slice(2))
