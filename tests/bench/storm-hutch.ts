/** Hutch under the storm: the real hub and its proxy, on the instant fake backend, with agents that report. */
import { mkdir, readFile } from 'node:fs/promises'
import { Agent } from 'node:http'
import { join } from 'node:path'
import { findProgram } from '../../bin/program.js'
import { spawnFakeBackend } from '../support/fakeBackendProcess.ts'
import { freePort, runHutch } from '../support/hutch.ts'
import { logInAs } from '../support/scientist.ts'
import { stormConfiguration } from '../support/stormConfiguration.ts'
import { until } from '../support/until.ts'
import { measuredCore, moveTo, onCore, otherCore } from './cores.ts'
import { createStormClient } from './storm-client.ts'
import { stormNames, writePeople } from './storm-people.ts'
import type { StormSubject } from './storm.ts'

export async function stormHutch(folder: string, people: number): Promise<StormSubject> {
  // As a checkout is that somebody has started from before.
  findProgram('hub', process.execPath)
  const backend = await spawnFakeBackend()
  moveTo(otherCore, backend.pid)
  // As often as real agents do.
  await backend.controls.behave({ reportEveryMs: 60_000 })
  const names = stormNames(people)
  const state = join(folder, 'storm')
  const options = {
    state,
    port: await freePort(),
    args: ['--config', await stormConfiguration(folder, { url: backend.url, perUser: 2 })],
    within: onCore(measuredCore),
  }
  let hutch = await runHutch(options)
  await logInAs(hutch.url, 'ada', (await hutch.passwords())['ada'] ?? '')
  // Making homes is not what is measured.
  for (const name of names) await mkdir(join(state, 'homes', name), { recursive: true })
  const connections = new Agent({ keepAlive: true })
  const clients = writePeople(state, names).map(({ login }) => createStormClient(hutch.url, login, connections))
  const clientOf = (person: number) => clients[person] ?? missing(person)
  const proxy = async (): Promise<number> =>
    (JSON.parse(await readFile(join(state, 'run', 'proxy-process.json'), 'utf8')) as { pid: number }).pid
  moveTo(otherCore, await proxy())

  return {
    name: 'hutch',
    async pids() {
      const hub = Number(await readFile(join(state, 'run', 'hub.pid'), 'utf8'))
      return { hub, proxy: await proxy(), backend: backend.pid }
    },
    async launch(person) {
      await clientOf(person).launch({ profile: 'fake', flavour: 'small', proposals: [] })
    },
    async other() {
      const { status } = await clientOf(people - 1).ask('GET', '/hub/api/v1/offers')
      if (status !== 200) throw new Error(`offers were answered with ${status}`)
    },
    async restart() {
      await hutch.kill()
      const startedAt = performance.now()
      const home = async (): Promise<boolean> => (await clientOf(0).ask('GET', '/hub/home')).status === 200
      const answered = until('home answers', home, { timeoutMs: 60_000 }).then(() => performance.now() - startedAt)
      const [started, tookMs] = await Promise.all([runHutch(options), answered])
      hutch = started
      const known = await backend.controls.state()
      const [there, removed] = [Object.keys(known.environments).length, Object.keys(known.removed).length]
      if (removed > 0) throw new Error(`of ${there} environments ${removed} were removed`)
      return tookMs
    },
    async close() {
      connections.destroy()
      await hutch.stop()
      await backend.close()
    },
  }
}

function missing(person: number): never {
  throw new Error(`there is no person ${person}`)
}
