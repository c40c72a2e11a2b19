/** The proxy in place of configurable-http-proxy, as JupyterHub starts it. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { freePort } from './hutch.ts'
import { ask, type Reply } from './proxy.ts'
import { until } from './until.ts'

const project = new URL('../..', import.meta.url).pathname
const token = 'a-token'

export interface Compatible {
  readonly url: string
  readonly port: number
  readonly apiPort: number
  readonly process: ChildProcess
  output(): string
  api(method: string, path: string, body?: unknown, authorization?: string): Promise<Reply>
  /** kill -9, then the same again. */
  restart(): Promise<void>
}

/** The arguments of configurable-http-proxy, and of ours in its place, that say where it listens. */
export function compatiblePlaces(port: number, apiPort: number): string[] {
  return ['--ip', '127.0.0.1', '--port', `${port}`, '--api-ip', '127.0.0.1', '--api-port', `${apiPort}`]
}

export async function startCompatible(
  t: ExecutionContext,
  options: readonly string[] = [],
  env: NodeJS.ProcessEnv = {},
): Promise<Compatible> {
  const [port, apiPort] = [await freePort(), await freePort()]
  const args = [...compatiblePlaces(port, apiPort), ...options]
  let output = ''
  let child: ChildProcess
  const begin = async (): Promise<void> => {
    const started = spawn(process.execPath, [join(project, 'bin/hutch-proxy.js'), ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, CONFIGPROXY_AUTH_TOKEN: token, ...env },
    })
    child = started
    for (const stream of [started.stdout, started.stderr])
      stream.on('data', (data: Buffer) => (output += data.toString()))
    await until(
      'it listens',
      () => {
        if (started.exitCode !== null) throw new Error(output)
        return output.includes('Proxy API at')
      },
      { timeoutMs: 60_000 },
    )
  }
  const end = async (): Promise<void> => {
    if (child.exitCode !== null) return
    const exit = once(child, 'exit')
    child.kill('SIGKILL')
    await exit
  }
  await begin()
  t.teardown(async () => {
    await end()
    if (!t.passed) t.log(output)
  })
  return {
    port,
    apiPort,
    url: `http://127.0.0.1:${port}`,
    get process() {
      return child
    },
    output: () => output,
    api: (method, path, body, authorization = `token ${token}`) =>
      ask(`http://127.0.0.1:${apiPort}${path}`, {
        method,
        headers: { authorization },
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      }),
    async restart() {
      await end()
      output = ''
      await begin()
    },
  }
}
