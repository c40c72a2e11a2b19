/**
 * From the click on "launch" to the first cell run, against starting the same `jupyter lab` by hand and running the
 * same cell; interleaved rounds of one run. Goal: at most 10 % and 300 ms more.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createJar } from '../support/browser-jar.ts'
import { freePort, type RunningHutch } from '../support/hutch.ts'
import { openKernel } from '../support/kernel.ts'
import type { Scientist } from '../support/scientist.ts'
import { until } from '../support/until.ts'
import { median, row } from './figures.ts'

const rounds = 7
const cell = 'import sys; print(sys.version_info[0])'

export async function benchLaunch(hutch: RunningHutch, scientist: Scientist): Promise<void> {
  const ours: number[] = []
  const byHand: number[] = []
  for (let round = 0; round < rounds; round += 1) {
    byHand.push(await jupyterByHand(hutch.state))
    ours.push(await jupyterThroughHutch(scientist))
  }
  const [a, b] = [median(ours), median(byHand)]
  row('launch to first cell', { hutch_ms: a, by_hand_ms: b, ratio: a / b, more_ms: a - b })
}

async function jupyterThroughHutch(scientist: Scientist): Promise<number> {
  const startedAt = performance.now()
  const launched = await scientist.launch({ profile: 'jupyterlab', flavour: 'medium' })
  await scientist.enter(launched)
  const kernel = await openKernel(scientist, launched)
  await kernel.run(cell)
  const tookMs = performance.now() - startedAt
  kernel.dispose()
  await scientist.api('POST', `/environments/${launched.id}/stop`)
  await until('it ended', async () => (await scientist.state(launched.id)) === 'ended', { timeoutMs: 60_000 })
  return tookMs
}

async function jupyterByHand(state: string): Promise<number> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}/`
  const startedAt = performance.now()
  const child = spawn(
    join(state, 'jupyter/bin/jupyter'),
    [
      'lab',
      `--port=${port}`,
      '--no-browser',
      '--allow-root',
      '--IdentityProvider.token=',
      '--ServerApp.port_retries=0',
    ],
    { stdio: 'ignore', cwd: state },
  )
  const answers = async (): Promise<boolean> =>
    await fetch(`${url}api`).then(
      (response) => response.ok,
      () => false,
    )
  await until('jupyter answers', answers, { timeoutMs: 60_000, everyMs: 20 })
  // The same steps as a browser: the page sets the cookie against forgery.
  const jar = createJar()
  await jar.open(`${url}lab`)
  const kernel = await openKernel({ jar }, { url })
  await kernel.run(cell)
  const tookMs = performance.now() - startedAt
  kernel.dispose()
  child.kill('SIGTERM')
  await once(child, 'exit')
  await sleep(200)
  return tookMs
}
