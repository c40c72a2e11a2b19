/** A real JupyterLab under the agent, with kernels that run cells, all through the link. */
import { readFile, readdir, stat, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { defaultApplication } from '../../images/agent/applications.ts'
import { agentStatusSchema } from '../../images/agent/health.ts'
import { readProcesses, treeOf } from '../../images/agent/processes.ts'
import { startAgent, wordOf, type RunningAgent } from '../support/agent.ts'
import { bridgeTo, type Bridge } from '../support/agent-bridge.ts'
import { browser, visitor } from '../support/browser.ts'
import { jupyterBin } from '../support/jupyter.ts'
import { openKernelAt } from '../support/kernel.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

interface Notebook {
  readonly agent: RunningAgent
  readonly bridge: Bridge
  readonly url: string
  /** Home, and where it starts. */
  readonly home: string
}

async function startNotebook(t: ExecutionContext, prepare = async (_home: string) => undefined as void) {
  const bin = await jupyterBin(t)
  if (bin === undefined) return undefined
  const home = await temporaryFolder(t)
  await prepare(home)
  const { kind, argv, readyPath, landingPath } = defaultApplication('notebook')
  const application = { kind, argv: [...argv], readyPath, landingPath, directory: home }
  const env = { PATH: `${bin}:${process.env['PATH']}`, HOME: home, JUPYTER_CONFIG_DIR: undefined }
  const agent = await startAgent(t, { bootstrap: { application }, env })
  const port = await agent.untilReady()
  const bridge = await bridgeTo(t, { id: agent.id, key: agent.key, port })
  const notebook: Notebook = { agent, bridge, url: bridge.url + agent.prefix, home }
  return notebook
}

test.serial('a kernel runs cells; its sockets and files are private; nothing is left after the stop', async (t) => {
  t.timeout(300_000)
  const notebook = await startNotebook(t)
  if (!notebook) return
  const { agent, url, home } = notebook
  const early = treeOf(agent.process.pid ?? 0, await readProcesses()).map(({ pid }) => pid)
  t.deepEqual(await listeningPorts(early), [await agent.port()], "the agent's is the only port that is open")
  const before = Date.now()
  const kernel = await openKernelAt(url)
  t.teardown(() => kernel.dispose())
  t.is(await kernel.run('import os; print(6 * 7, os.getcwd())'), `42 ${home}`)

  const runtime = await kernel.run('print(os.environ["JUPYTER_RUNTIME_DIR"])')
  t.is((await stat(runtime)).mode & 0o777, 0o700)
  t.is((await stat(join(runtime, '../app.sock'))).mode & 0o777, 0o600)
  t.true((await readdir(runtime)).some((name) => /^kernel-.*-ipc-\d$/.test(name)))
  const own = treeOf(agent.process.pid ?? 0, await readProcesses())
  t.true(own.length >= 3, 'agent, server and kernel')
  const [connection = ''] = (await readdir(runtime)).filter((name) => /^kernel-.*\.json$/.test(name))
  t.like(JSON.parse(await readFile(join(runtime, connection), 'utf8')), { transport: 'ipc' })

  await kernel.restart()
  t.is(await kernel.run('print("again")'), 'again')
  const sleeping = t.throwsAsync(kernel.run('import time; time.sleep(600)'), { message: /KeyboardInterrupt/ })
  await until('the kernel is busy', () => kernel.activity() === 'busy')
  const busy = await until(
    'a busy kernel is activity',
    async () => {
      const status = agentStatusSchema.parse(JSON.parse((await agent.ask('/_agent/status')).body))
      return status.lastActivityAt !== undefined && Date.parse(status.lastActivityAt) >= before
    },
    { timeoutMs: 90_000, everyMs: 500 },
  )
  t.true(busy)
  await kernel.interrupt()
  await sleeping
  t.is(await kernel.run('print("still")'), 'still')

  kernel.dispose()
  t.is(await agent.stop(), 0)
  const left = await readProcesses()
  t.deepEqual(
    left.filter(({ pid }) => own.some((each) => each.pid === pid)),
    [],
  )
  await t.throwsAsync(stat(runtime))
})

test.serial('the page works behind another host name, and foreign pages get nothing', async (t) => {
  t.timeout(300_000)
  const notebook = await startNotebook(t)
  if (!notebook) return
  const { agent, home } = notebook
  const host = 'alice.envs.example.org'
  const page = await agent.ask(`${agent.prefix}lab`, { headers: { host } })
  t.is(page.status, 200)
  t.true(page.body.includes(`"baseUrl": "${agent.prefix}"`))
  t.true(page.body.includes(home.slice(1)), 'it opens where the environment starts')
  const cookies = (page.headers['set-cookie'] ?? []).map((cookie) => cookie.split(';')[0] ?? '')
  const xsrf = cookies.find((cookie) => cookie.startsWith('_xsrf='))?.slice('_xsrf='.length) ?? ''
  const headers = { host, cookie: cookies.join('; '), 'content-type': 'application/json' }
  const create = async (more: Record<string, string>) =>
    (await agent.ask(`${agent.prefix}api/kernels`, { method: 'POST', body: '{}', headers: { ...headers, ...more } }))
      .status
  t.is(await create({ 'x-xsrftoken': xsrf, origin: `https://${host}` }), 201)
  t.is(await create({ origin: `https://${host}` }), 403, 'without the token of its page')
  t.is(await create({ origin: 'https://evil.example' }), 404, 'from elsewhere')
  const [{ id = '' } = {}] = JSON.parse((await agent.ask(`${agent.prefix}api/kernels`)).body) as { id?: string }[]
  const channels = `${agent.prefix}api/kernels/${id}/channels`
  const socket = await agent.webSocket(channels, { headers: { host }, origin: `https://${host}` })
  socket.terminate()
  await t.throwsAsync(agent.webSocket(channels, { headers: { host }, origin: 'https://evil.example' }), {
    message: /403/,
  })
  await t.throwsAsync(agent.webSocket(channels, { headers: { host }, origin: 'https://bob.envs.example.org' }), {
    message: /403/,
  })
})

test.serial('JupyterLab warns of the end, and what is not saved is saved before it', async (t) => {
  t.timeout(300_000)
  const opened = await browser(t)
  const notebook = await startNotebook(t, async (home) => {
    const cell = { cell_type: 'code', id: 'one', execution_count: null, metadata: {}, outputs: [], source: '' }
    const kernelspec = { display_name: 'Python 3 (ipykernel)', language: 'python', name: 'python3' }
    const content = { cells: [cell], metadata: { kernelspec }, nbformat: 4, nbformat_minor: 5 }
    await writeFile(join(home, 'work.ipynb'), JSON.stringify(content))
  })
  if (!notebook || !opened) return
  const { agent, url, home } = notebook
  const tell = async (inMs: number): Promise<void> => {
    agent.hub.word = wordOf({ inMs, cause: 'walltime', why: 'Its time is over then.', canExtend: true })
    await agent.ask(`${agent.prefix}_hutch/stay`, { method: 'POST' })
  }
  await tell(900_000)
  const { page, errors } = await visitor(opened)
  await page.goto(`${url}lab/tree${home}/work.ipynb?reset`)
  await page.locator('.jp-Notebook .cm-content').first().click()
  await page.keyboard.insertText('answer = 6 * 7')
  const bar = page.getByRole('region', { name: 'Time of this environment' })
  await bar
    .getByText(/^This environment ends in 15 min\. Its time is over then\.$/)
    .first()
    .waitFor()
  const folder = process.env['HUTCH_SCREENSHOTS']
  if (folder) await page.screenshot({ path: join(folder, 'notices-jupyterlab.png') })
  t.notRegex(await readFile(join(home, 'work.ipynb'), 'utf8'), /answer = 6/)
  await tell(110_000)
  await page.evaluate('dispatchEvent(new Event("focus"))')
  await until('it is saved', async () => (await readFile(join(home, 'work.ipynb'), 'utf8')).includes('answer = 6'), {
    timeoutMs: 60_000,
  })
  t.deepEqual(errors, [])
})

test.serial("configuration in the user's home neither breaks the start nor opens a door", async (t) => {
  t.timeout(300_000)
  const notebook = await startNotebook(t, async (home) => {
    await mkdir(join(home, '.jupyter'))
    await writeFile(
      join(home, '.jupyter/jupyter_server_config.json'),
      JSON.stringify({
        ServerApp: {
          ip: '0.0.0.0',
          port: 9999,
          sock: '/tmp/elsewhere',
          sock_mode: '0666',
          base_url: '/other/',
          open_browser: true,
          allow_origin: '*',
          disable_check_xsrf: true,
          root_dir: '/nowhere',
          certfile: '/nowhere',
          token: 'x',
        },
        IdentityProvider: { token: 'secret' },
        PasswordIdentityProvider: { hashed_password: 'sha1:0:0', password_required: true },
        KernelManager: { transport: 'tcp' },
      }),
    )
  })
  if (!notebook) return
  const { agent, home } = notebook
  const page = await agent.ask(`${agent.prefix}lab`, { headers: { origin: 'https://evil.example' } })
  t.is(page.status, 200)
  t.is(page.headers['access-control-allow-origin'], undefined)
  t.is((await agent.ask(`${agent.prefix}api/kernels`, { method: 'POST', body: '{}' })).status, 403)
  const own = treeOf(agent.process.pid ?? 0, await readProcesses())
  t.deepEqual(await listeningPorts(own.map(({ pid }) => pid)), [await agent.port()])
  t.true(page.body.includes(home.slice(1)))
})

/** TCP ports on which one of these processes listens, from /proc. */
async function listeningPorts(pids: readonly number[]): Promise<number[]> {
  const { readlink } = await import('node:fs/promises')
  const inodes = new Set<string>()
  for (const pid of pids) {
    for (const fd of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
      const inode = /^socket:\[(\d+)\]$/.exec(await readlink(`/proc/${pid}/fd/${fd}`).catch(() => ''))?.[1]
      if (inode !== undefined) inodes.add(inode)
    }
  }
  const tables = await Promise.all(['tcp', 'tcp6'].map((name) => readFile(`/proc/net/${name}`, 'utf8').catch(() => '')))
  return tables
    .flatMap((table) => table.split('\n').slice(1))
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , , state, , , , , , inode = '']) => state === '0A' && inodes.has(inode))
    .map(([, local = '']) => Number.parseInt(local.split(':')[1] ?? '', 16))
}
