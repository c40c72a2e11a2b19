/** JupyterHub under the same storm: its own configurable-http-proxy, SQLite, and servers that are there at once. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { Agent, createServer, request } from 'node:http'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort } from '../support/hutch.ts'
import { installedJupyterHub } from '../support/jupyterhub.ts'
import { until } from '../support/until.ts'
import { measuredCore, moveTo, onCore, otherCore } from './cores.ts'
import type { StormSubject } from './storm.ts'

const chp = fileURLToPath(import.meta.resolve('configurable-http-proxy/bin/configurable-http-proxy'))
const token = 'storm-token'
const usersAtOnce = 200

/** Undefined: it is not installed here; tests/e2e installs it. */
export async function stormJupyterHub(
  parent: string,
  people: number,
): Promise<(StormSubject & { readonly url: string }) | undefined> {
  const bin = await installedJupyterHub()
  if (bin === undefined) return undefined
  const folder = join(parent, 'jupyterhub')
  await mkdir(folder)
  // What JupyterHub's servers are here: something that answers.
  const servers = createServer((_asked, response) => response.end('{"version": "6.1.1"}')).listen(0, '127.0.0.1')
  await once(servers, 'listening')
  const address = servers.address()
  const serverPort = typeof address === 'object' ? address?.port : undefined
  const ports = { proxy: await freePort(), api: await freePort(), hub: await freePort(), server: serverPort ?? 0 }
  await writeFile(join(folder, 'jupyterhub_config.py'), configuration(ports))
  const listening = [
    '--ip',
    '127.0.0.1',
    '--port',
    `${ports.proxy}`,
    '--api-ip',
    '127.0.0.1',
    '--api-port',
    `${ports.api}`,
  ]
  const leading = ['--default-target', `http://127.0.0.1:${ports.hub}`, '--log-level', 'error']
  const proxy = spawn(process.execPath, [chp, ...listening, ...leading], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, CONFIGPROXY_AUTH_TOKEN: token },
  })
  moveTo(otherCore, proxy.pid ?? 0)
  const agent = new Agent({ keepAlive: true })
  const base = `http://127.0.0.1:${ports.proxy}/hub`

  function ask(method: string, path: string, body?: object): Promise<{ status: number; text: string }> {
    return new Promise((resolve, reject) => {
      const headers = { authorization: `token ${token}`, accept: 'application/json' }
      // A kept connection may have been closed a moment ago: what must not be asked twice has its own.
      const asked = request(`${base}${path}`, { method, headers, agent: method === 'GET' ? agent : false })
      asked.on('error', reject)
      asked.on('response', (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (data: string) => (text += data))
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
      })
      asked.end(body === undefined ? undefined : JSON.stringify(body))
    })
  }

  async function start(): Promise<ChildProcess> {
    const [command, ...args] = [...onCore(measuredCore), join(bin ?? '', 'python'), '-m', 'jupyterhub']
    const child = spawn(command ?? '', args, {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'ignore'],
      env: { ...process.env, CONFIGPROXY_AUTH_TOKEN: token },
    })
    const isWell = async (): Promise<boolean> => {
      if (child.exitCode !== null) throw new Error(`jupyterhub ended with ${child.exitCode}`)
      return await ask('GET', '/api/users/p0').then(
        ({ status }) => status === 200 || status === 404,
        () => false,
      )
    }
    await until('JupyterHub answers', isWell, { timeoutMs: 120_000 })
    return child
  }

  let hub = await start()
  for (let first = 0; first < people; first += usersAtOnce) {
    const usernames = Array.from({ length: usersAtOnce }, (_, index) => `p${first + index}`)
    const { status, text } = await ask('POST', '/api/users', { usernames })
    if (status !== 201) throw new Error(`the users were answered with ${status}: ${text}`)
  }
  return {
    name: 'JupyterHub 6.1.1',
    url: base,
    pids: () => Promise.resolve({ hub: hub.pid ?? 0, proxy: proxy.pid ?? 0 }),
    async launch(person) {
      const { status, text } = await ask('POST', `/api/users/p${person}/server`)
      // 202: it takes more than slow_spawn_timeout, and is asked for.
      if (status !== 201 && status !== 202) throw new Error(`the launch was answered with ${status}: ${text}`)
      const isReady = async (): Promise<boolean> =>
        (JSON.parse((await ask('GET', `/api/users/p${person}`)).text) as { server: string | null }).server !== null
      if (status === 202) await until('it is ready', isReady, { timeoutMs: 120_000, everyMs: 100 })
    },
    async other() {
      await ask('GET', `/api/users/p${people - 1}`)
    },
    async restart() {
      await end(hub, 'SIGKILL')
      const startedAt = performance.now()
      hub = await start()
      return performance.now() - startedAt
    },
    async close() {
      agent.destroy()
      await end(hub, 'SIGKILL')
      await end(proxy, 'SIGTERM')
      servers.close()
      servers.closeAllConnections()
    },
  }
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill(signal)
  await ended
}

function configuration(ports: Readonly<Record<'proxy' | 'api' | 'hub' | 'server', number>>): string {
  return `
from jupyterhub.spawner import Spawner

class InstantSpawner(Spawner):
    running = False
    def load_state(self, state):
        super().load_state(state)
        self.running = state.get('running', False)
    def get_state(self):
        return {**super().get_state(), 'running': self.running}
    async def start(self):
        self.running = True
        return ('127.0.0.1', ${ports.server})
    async def stop(self, now=False):
        self.running = False
    async def poll(self):
        return None if self.running else 0

c.JupyterHub.spawner_class = InstantSpawner
c.JupyterHub.authenticator_class = 'dummy'
c.Authenticator.allow_all = True
c.JupyterHub.db_url = 'sqlite:///jupyterhub.sqlite'
c.JupyterHub.bind_url = 'http://127.0.0.1:${ports.proxy}/'
c.JupyterHub.hub_bind_url = 'http://127.0.0.1:${ports.hub}'
c.JupyterHub.cleanup_servers = False
c.JupyterHub.log_level = 'WARN'
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = 'http://127.0.0.1:${ports.api}'
c.ConfigurableHTTPProxy.auth_token = '${token}'
c.JupyterHub.services = [{'name': 'storm', 'api_token': '${token}'}]
c.JupyterHub.load_roles = [{'name': 'storm', 'services': ['storm'], 'scopes': ['admin:users', 'admin:servers', 'list:users']}]
`
}
