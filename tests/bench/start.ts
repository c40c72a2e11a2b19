/** From `npm start` to the login page, first and second time; memory of hub and proxy at rest, and of an agent. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { runHutch, type RunningHutch } from '../support/hutch.ts'
import type { Scientist } from '../support/scientist.ts'
import { residentBytes, row } from './figures.ts'

const restMs = 5_000

export async function benchStart(state: string): Promise<void> {
  const timed = async (): Promise<number> => {
    const startedAt = performance.now()
    const hutch = await runHutch({ state })
    const tookMs = performance.now() - startedAt
    await hutch.stop()
    return tookMs
  }
  row('start to the login page', { first_ms: await timed(), second_ms: await timed() })
}

export async function benchMemory(hutch: RunningHutch, scientist: Scientist): Promise<void> {
  const launched = await scientist.launch({ profile: 'terminal', flavour: 'small' })
  await scientist.enter(launched)
  await sleep(restMs)
  const proxy = JSON.parse(await readFile(join(hutch.state, 'run', 'proxy-process.json'), 'utf8')) as { pid: number }
  const hub = Number(await readFile(join(hutch.state, 'run', 'hub.pid'), 'utf8'))
  const agent = await agentOf(launched.id)
  const [hubMb, proxyMb, agentMb] = await Promise.all([hub, proxy.pid, agent].map(megabytes))
  row('memory at rest', { hub_MB: hubMb ?? 0, proxy_MB: proxyMb ?? 0, agent_MB: agentMb ?? 0 })
  await scientist.api('POST', `/environments/${launched.id}/stop`)
}

async function megabytes(pid: number): Promise<number> {
  return (await residentBytes(pid)) / 1e6
}

/** The process of the agent itself: node, with this environment's id among its variables. */
async function agentOf(id: string): Promise<number> {
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const variables = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    const isAgent = /agent\.cjs/.test(command) && !/^(bwrap|\/bin\/sh|sh)\0/.test(command)
    if (isAgent && variables.includes(`HUTCH_ENVIRONMENT=${id}`)) return Number(pid)
  }
  throw new Error(`no agent runs for ${id}`)
}
