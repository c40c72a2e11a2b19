/** The fake that the fault tests stand on does what they take for granted. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, request } from 'node:https'
import { createInterface } from 'node:readline'
import { join } from 'node:path'
import { connect } from 'node:tls'
import test from 'ava'
import { agentReportSchema } from '../../images/agent/bootstrap.ts'
import { pskClient, pskServer } from '../../images/agent/link.ts'
import type { SpawnerContext } from '../../spawners/spawner.ts'
import { portOf } from '../support/fakeAgents.ts'
import { startFakeBackend } from '../support/fakeBackend.ts'
import fakeSpawner, { fakeControls } from '../support/fakeSpawner.ts'
import { newId } from '../support/localSubject.ts'
import { contractSpec, spawnerContext, testKey } from '../support/spawnerSubject.ts'
import { until } from '../support/until.ts'

const soon = () => AbortSignal.timeout(20_000)

async function open(url: string, part: Partial<SpawnerContext> = {}) {
  return await fakeSpawner.create(fakeSpawner.configSchema.parse({ url }), spawnerContext({ hub: 'hub', ...part }))
}

test('it outlives a hub as a process of its own, and is controlled from outside', async (t) => {
  const child = spawn(process.execPath, [join(import.meta.dirname, '../support/fakeBackend.ts')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string]
  const { url }: { url: string } = JSON.parse(line)
  const spec = contractSpec('hub', newId(), {})
  await (await open(url)).ensure(spec, soon())
  const controls = fakeControls(url)
  t.is((await controls.state()).environments[spec.id]?.observation.phase, 'running')
  await controls.end(spec.id, 'preempted')
  const found = (await (await open(url)).observe(soon())).get(spec.id)
  t.like(found?.observation, { phase: 'ended', reason: 'preempted' })
  await controls.lose(spec.id)
  t.is((await (await open(url)).observe(soon())).size, 0)
  child.stdin.end()
  t.deepEqual(await once(child, 'exit'), [0, null])
})

test('a silent backend answers nothing and does nothing; a lost answer is of something done', async (t) => {
  const backend = await startFakeBackend()
  t.teardown(backend.close)
  const spawner = await open(backend.url)
  const [silent, lost] = [contractSpec('hub', newId(), {}), contractSpec('hub', newId(), {})]
  backend.behave({ silentForMs: 600_000 })
  await t.throwsAsync(spawner.ensure(silent, AbortSignal.timeout(300)))
  await t.throwsAsync(spawner.observe(AbortSignal.timeout(300)))
  backend.behave({ silentForMs: 0, loseAnswers: 1 })
  await t.throwsAsync(spawner.ensure(lost, soon()))
  t.deepEqual([...(await spawner.observe(soon())).keys()], [lost.id])
  t.deepEqual(backend.state().ensured, { [lost.id]: 1 })
  await spawner.ensure(lost, soon())
  t.is(backend.state().ensured[lost.id], 2)
})

test('its agents report with the key of their environment, answer with it, and can be silent', async (t) => {
  const reports: unknown[] = []
  const hub = createServer(
    pskServer((id) => Buffer.from(testKey(id), 'base64url')),
    (message, response) => {
      message.setEncoding('utf8').on('data', (text: string) => reports.push(JSON.parse(text)))
      message.on('end', () => response.writeHead(204).end())
    },
  )
  hub.listen(0, '127.0.0.1')
  await once(hub, 'listening')
  const backend = await startFakeBackend()
  t.teardown(async () => {
    await backend.close()
    hub.close()
    hub.closeAllConnections()
  })
  const { bootstrap } = spawnerContext({ hub: 'hub' })
  const report = { host: '127.0.0.1', port: portOf(hub) }
  const spawner = await open(backend.url, { bootstrap: (spec) => ({ ...bootstrap(spec), report }) })
  const spec = contractSpec('hub', newId(), {})
  await spawner.ensure(spec, soon())
  const { port, application } = agentReportSchema.parse(await until('a report has come', () => reports[0]))
  t.is(application, 'ready')

  const ask = (key: string, timeoutMs: number) => {
    const psk = pskClient(spec.id, Buffer.from(key, 'base64url'))
    const createConnection = () => connect({ ...psk, host: '127.0.0.1', port })
    return new Promise<number | undefined>((resolve) => {
      const call = request({ path: '/_agent/health', createConnection, signal: AbortSignal.timeout(timeoutMs) })
      call.on('response', (response) => resolve(response.resume().statusCode))
      call.on('error', () => resolve(undefined))
      call.end()
    })
  }
  t.is(await ask(testKey(spec.id), 10_000), 200)
  t.is(await ask(testKey('another'), 10_000), undefined)
  backend.behave({ agentsSilentForMs: 600_000 })
  t.is(await ask(testKey(spec.id), 500), undefined)
  backend.behave({ agentsSilentForMs: 0 })
  t.is(await ask(testKey(spec.id), 10_000), 200)
})
