/** Deaths in the middle of work: real processes, a real kernel, kill -9. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { startHutch, type RunningHutch } from '../support/hutch.ts'
import { openKernel, type RemoteKernel } from '../support/kernel.ts'
import { logInAs, type Launched, type Scientist } from '../support/scientist.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

const notebook = { profile: 'jupyterlab', flavour: 'small', title: 'faults' }

test('a kernel and its open WebSocket live through the death of the hub; a new hub finds everything', async (t) => {
  const { hutch, ada, launched, kernel } = await startWithKernel(t)
  t.is(await kernel.run('x = 42; print(x)'), '42')

  await hutch.kill()
  t.is(await kernel.run('print(x + 1)'), '43', 'the same socket, while there is no hub')
  t.is(kernel.status(), 'connected')

  const again = await startHutch(t, { state: hutch.state, port: Number(new URL(hutch.url).port) })
  await until('the new hub says that it is ready', async () => (await ada.state(launched.id)) === 'ready')
  t.is(await kernel.run('print(x + 2)'), '44', 'still the same kernel and socket')
  t.deepEqual(await live(ada), [launched.id])
  t.is(await again.stop(), 0)
})

test('after the death of the proxy the socket comes back by itself, to the same kernel', async (t) => {
  const { hutch, ada, launched, kernel } = await startWithKernel(t)
  await kernel.run('x = 42')
  process.kill(await proxyPid(hutch), 'SIGKILL')
  await until('the socket is connected again', () => kernel.status() !== 'connected', { timeoutMs: 20_000 })
  await until('the socket is connected again', () => kernel.status() === 'connected', { timeoutMs: 60_000 })
  t.is(await kernel.run('print(x)'), '42')
  t.deepEqual(await live(ada), [launched.id])
})

test('after the death of both, nothing is lost, doubled or orphaned', async (t) => {
  const { hutch, ada, launched, kernel } = await startWithKernel(t)
  await kernel.run('x = 42')
  const proxy = await proxyPid(hutch)
  await hutch.kill()
  process.kill(proxy, 'SIGKILL')
  const again = await startHutch(t, { state: hutch.state, port: Number(new URL(hutch.url).port) })
  await until('the socket is connected again', () => kernel.status() === 'connected', { timeoutMs: 60_000 })
  t.is(await kernel.run('print(x)'), '42')
  t.deepEqual(await live(ada), [launched.id])
  t.is(await again.stop(), 0)
  t.deepEqual(await agentsOf(launched.id), [], 'Ctrl-C stopped what it started')
})

interface Started {
  readonly hutch: RunningHutch
  readonly ada: Scientist
  readonly launched: Launched
  readonly kernel: RemoteKernel
}

async function startWithKernel(t: ExecutionContext): Promise<Started> {
  const hutch = await startHutch(t, { state: await temporaryFolder(t) })
  const passwords = await hutch.passwords()
  const ada = await logInAs(hutch.url, 'ada', passwords['ada'] ?? '')
  const launched = await ada.launch(notebook)
  await ada.enter(launched)
  const kernel = await openKernel(ada, launched)
  t.teardown(() => kernel.dispose())
  return { hutch, ada, launched, kernel }
}

async function live(scientist: Scientist): Promise<string[]> {
  const { body } = await scientist.api<{ items: { id: string; state: string }[] }>('GET', '/environments')
  return body.items.filter(({ state }) => state !== 'ended').map(({ id }) => id)
}

async function proxyPid(hutch: RunningHutch): Promise<number> {
  const text = await readFile(join(hutch.state, 'run', 'proxy-process.json'), 'utf8')
  return (JSON.parse(text) as { pid: number }).pid
}

/** Pids of processes whose environment names this id. */
async function agentsOf(id: string): Promise<string[]> {
  const found: string[] = []
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const variables = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')
    if (variables.includes(`HUTCH_ENVIRONMENT=${id}`)) found.push(pid)
  }
  return found
}
