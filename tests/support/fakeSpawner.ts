/** Fake: a spawner on tests/support/fakeBackend.ts. A real hub loads it with `type: <path of this file>`, `url: …`. */
import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import {
  LaunchRefused,
  isEnvironmentId,
  type EnvironmentId,
  type Found,
  type Spawner,
  type SpawnerContext,
  type SpawnerType,
} from '../../spawners/spawner.ts'
import type { FakeBehaviour, FakeProfile, FakeState } from './fakeBackend.ts'

const configSchema = z.strictObject({
  url: z.url().describe('Where the fake backend listens.'),
  visibilityLagMs: z.int().min(0).default(0).describe('What the spawner claims of its backend.'),
})

const profileSchema = z.strictObject({
  refuse: z.string().optional().describe('The backend refuses for good, with this sentence.'),
  endAfterMs: z.int().optional().describe('It ends by itself this long after it started.'),
  exitCode: z.int().optional().describe('With which exit code it ends.'),
  print: z.int().optional().describe('Its log has about this many bytes.'),
})

type FakeConfig = z.output<typeof configSchema>

const fakeSpawner: SpawnerType<FakeConfig, FakeProfile> = {
  type: 'fake',
  configSchema,
  profileSchema,
  create: (config, context) => Promise.resolve(create(config, context)),
}
export default fakeSpawner

/** The controls of a fake backend that is a process of its own. Every one answers with the state after it. */
export function fakeControls(url: string): {
  state(): Promise<FakeState>
  behave(behaviour: FakeBehaviour): Promise<FakeState>
  end(id: string, reason: string, exitCode?: number): Promise<FakeState>
  lose(id: string): Promise<FakeState>
} {
  const post = async (what: string, body: object): Promise<FakeState> => {
    const response = await fetch(`${url}/control/${what}`, { method: 'POST', body: JSON.stringify(body) })
    if (!response.ok) throw new Error(`the fake backend: ${await response.text()}`)
    const state: FakeState = JSON.parse(await response.text())
    return state
  }
  return {
    state: () => post('state', {}),
    behave: (behaviour) => post('behave', behaviour),
    end: (id, reason, exitCode) => post('end', { id, reason, exitCode }),
    lose: (id) => post('lose', { id }),
  }
}

function create(config: FakeConfig, context: SpawnerContext): Spawner<FakeProfile> {
  const base = `${config.url}/hubs/${context.hub}`
  const agent = new Agent({ keepAlive: true })

  async function call<T>(signal: AbortSignal, method: string, path: string, body?: object): Promise<T> {
    const { status, text } = await send(agent, `${base}/${path}`, method, body && JSON.stringify(body), signal)
    if (status === 422) throw new LaunchRefused(String(JSON.parse(text)))
    if (status >= 300) throw new Error(`the fake backend answered ${status}`)
    const answer: T = JSON.parse(text)
    return answer
  }

  return {
    visibilityLagMs: config.visibilityLagMs,
    async ensure(spec, signal) {
      await call(signal, 'PUT', `environments/${spec.id}`, { spec, bootstrap: context.bootstrap(spec) })
    },
    async observe(signal) {
      const found = await call<[EnvironmentId, Found][]>(signal, 'GET', 'environments')
      for (const [, { observation }] of found) revive(observation)
      return new Map(found)
    },
    async remove(id, signal) {
      await call(signal, 'DELETE', `environments/${id}`)
    },
    async logs(id, signal) {
      return (await call<string>(signal, 'GET', `environments/${id}/logs`)).slice(-65_536)
    },
    async extend(id, endsAt, signal) {
      await call(signal, 'PUT', `environments/${id}/end`, { endsAt })
    },
    async watch(changed, signal) {
      while (!signal.aborted) {
        // Whatever broke the stream, the answer is the same: follow again, the loop's own tick covers the gap.
        await follow(`${base}/watch`, changed, signal).catch(() => undefined)
        await sleep(100, undefined, { signal }).catch(() => undefined)
      }
    },
    async check(signal) {
      await call(signal, 'GET', 'environments')
      return { ok: true, message: 'The fake backend answers', free: { cpu: 1_000, memoryBytes: 2 ** 42 } }
    },
  }
}

async function follow(url: string, changed: (id: EnvironmentId) => void, signal: AbortSignal): Promise<void> {
  const response = await fetch(url, { signal })
  let rest = ''
  for await (const chunk of (response.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream())) {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) if (isEnvironmentId(line)) changed(line)
  }
}

/** What a hub costs is measured with this: node:http asks for less than fetch. */
function send(
  agent: Agent,
  url: string,
  method: string,
  body: string | undefined,
  signal: AbortSignal,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const asked = request(url, { method, agent, signal })
    asked.on('error', reject)
    asked.on('response', (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (data: string) => (text += data))
      response.on('error', reject)
      response.on('end', () => resolve({ status: response.statusCode ?? 500, text }))
    })
    asked.end(body)
  })
}

/** JSON knows no dates. */
function revive(observation: Record<string, unknown>): void {
  for (const name of ['startedAt', 'endedAt', 'endsAt']) {
    const at = observation[name]
    if (typeof at === 'string') observation[name] = new Date(at)
  }
}
