/** A real JupyterLab with its kernels behind the proxy alone, in Chromium, while the proxy's processes are killed. */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import type { Page } from 'playwright-core'
import { WebSocket } from 'ws'
import { browser, visitor } from '../support/browser.ts'
import { startCompatible, type Compatible } from '../support/compatible.ts'
import { freePort } from '../support/hutch.ts'
import { jupyterBin } from '../support/jupyter.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

const prefix = '/user/ada/'
const patience = { timeoutMs: 120_000, everyMs: 100 }

async function startLab(t: ExecutionContext, bin: string, folder: string): Promise<number> {
  const port = await freePort()
  const cell = { cell_type: 'code', id: 'one', execution_count: null, metadata: {}, outputs: [], source: '' }
  const kernelspec = { display_name: 'Python 3 (ipykernel)', language: 'python', name: 'python3' }
  const notebook = { cells: [cell], metadata: { kernelspec }, nbformat: 4, nbformat_minor: 5 }
  await writeFile(join(folder, 'work.ipynb'), JSON.stringify(notebook))
  const settings = { ip: '127.0.0.1', port, base_url: prefix, root_dir: folder, open_browser: false, port_retries: 0 }
  const args = Object.entries({ ...settings, allow_root: true, allow_remote_access: true })
  const child = spawn(
    join(bin, 'jupyter'),
    ['lab', ...args.map(([name, value]) => `--ServerApp.${name}=${String(value)}`), '--IdentityProvider.token='],
    { cwd: folder, stdio: 'ignore', env: { ...process.env, HOME: folder, PATH: `${bin}:${process.env['PATH']}` } },
  )
  t.teardown(async () => {
    if (child.exitCode !== null) return
    const exit = once(child, 'exit')
    child.kill('SIGTERM')
    await Promise.race([exit, sleep(10_000).then(() => child.kill('SIGKILL'))])
  })
  await until(
    'JupyterLab answers',
    () =>
      fetch(`http://127.0.0.1:${port}${prefix}api`).then(
        ({ ok }) => ok,
        () => false,
      ),
    patience,
  )
  return port
}

/** Puts the code into the notebook's one cell, runs it, and waits for what it prints. */
async function runCell(page: Page, code: string, prints: string): Promise<void> {
  await page.locator('.jp-Notebook .cm-content').first().click()
  await page.keyboard.press('Control+A')
  await page.keyboard.insertText(code)
  await page.keyboard.press('Control+Enter')
  await page.locator('.jp-OutputArea-output').getByText(prints).first().waitFor({ timeout: 90_000 })
}

async function workersOf({ process: { pid = 0 } }: Compatible): Promise<number[]> {
  return (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).split(' ').filter(Boolean).map(Number)
}

/** Connections that anybody has to this port of 127.0.0.1. */
async function connectionsTo(port: number): Promise<number> {
  const to = ` 0100007F:${port.toString(16).toUpperCase().padStart(4, '0')} 01 `
  return (await readFile('/proc/net/tcp', 'utf8')).split('\n').filter((line) => line.includes(to)).length
}

test('cells, terminal, upload, download and restart; workers and primary die in the middle of it', async (t) => {
  t.timeout(600_000)
  const [bin, opened] = [await jupyterBin(t), await browser(t)]
  if (bin === undefined || opened === undefined) return
  const folder = await temporaryFolder(t)
  const lab = await startLab(t, bin, folder)
  const proxy = await startCompatible(t, ['--workers', '2', '--routes-file', join(await temporaryFolder(t), 'routes')])
  t.is((await proxy.api('POST', `/api/routes${prefix}`, { target: `http://127.0.0.1:${lab}` })).status, 201)
  const { page } = await visitor(opened)
  // JupyterLab says so when it misses its server, and goes on trying.
  const missed = page.getByRole('dialog', { name: /Server Connection Error/ })
  await page.addLocatorHandler(missed, async (dialog) => await dialog.getByRole('button').last().click())
  await page.goto(`${proxy.url}${prefix}lab/tree/work.ipynb`)
  await page.getByText('Python 3 (ipykernel) | Idle').waitFor({ timeout: 120_000 })
  await runCell(page, 'x = 6 * 7; print("first", x)', 'first 42')

  // All of them, so that the one that carries the kernel's WebSocket is among them.
  await runCell(page, 'import time\nprint("begun")\nfor i in range(30): time.sleep(.2)\nprint("done", x)', 'begun')
  for (const pid of await workersOf(proxy)) process.kill(pid, 'SIGKILL')
  await page.locator('.jp-OutputArea-output').getByText('done 42').waitFor({ timeout: 90_000 })
  await until('there are workers again', async () => (await workersOf(proxy)).length === 2, patience)
  await runCell(page, 'print("after the workers", x)', 'after the workers 42')
  await proxy.restart()
  await runCell(page, 'print("after the primary", x)', 'after the primary 42')

  const sent = randomBytes(3 * 2 ** 20)
  const choosing = page.waitForEvent('filechooser')
  await page.getByTitle('Upload Files').first().click()
  await (await choosing).setFiles({ name: 'sent.bin', mimeType: 'application/octet-stream', buffer: sent })
  await until(
    'the upload is there whole',
    async () => {
      const found = await readFile(join(folder, 'sent.bin')).catch(() => undefined)
      return found?.equals(sent)
    },
    patience,
  )
  const downloading = page.waitForEvent('download')
  await page.evaluate(`location.href = '${prefix}files/sent.bin?download=1'`)
  t.true((await readFile(await (await downloading).path())).equals(sent))

  await page.getByRole('menuitem', { name: 'Kernel', exact: true }).click()
  await page.getByRole('menuitem', { name: 'Restart Kernel…' }).first().click()
  await page.getByRole('button', { name: 'Confirm Kernel Restart' }).click()
  await page.getByText('Python 3 (ipykernel) | Idle').waitFor({ timeout: 120_000 })
  await runCell(page, 'print("x" in globals(), "after the restart")', 'False after the restart')

  await readersThatLeave(t, proxy, lab)
  await page.getByRole('menuitem', { name: 'File', exact: true }).click()
  await page.locator('.lm-Menu-item[data-type="submenu"]').first().hover()
  await page.locator('.lm-Menu-item[data-command="terminal:create-new"]').click()
  await page.locator('.jp-Terminal .xterm-screen').waitFor({ timeout: 60_000 })
  // It is painted, so that there is no text to be found: what it does is.
  await until(
    'the terminal obeys',
    async () => {
      await page.locator('.jp-Terminal').first().click()
      await page.keyboard.type(`echo $((6*7)) > ${folder}/typed\n`)
      await sleep(1_000)
      return (await readFile(join(folder, 'typed'), 'utf8').catch(() => '')) === '42\n'
    },
    patience,
  )
  await page.context().close()
})

/** On the kernel's own channel, which prints without end. */
async function readersThatLeave(t: ExecutionContext, proxy: Compatible, lab: number): Promise<void> {
  const kernels = (await (await fetch(`${proxy.url}${prefix}api/kernels`)).json()) as { id: string }[]
  const address = `${proxy.url.replace('http', 'ws')}${prefix}api/kernels/${kernels[0]?.id}/channels`
  const before = await connectionsTo(lab)
  let got = 0
  const readers = await Promise.all(
    Array.from({ length: 30 }, async (_, index) => {
      const socket = new WebSocket(`${address}?session_id=reader-${index}`)
      socket.on('error', () => {})
      socket.on('message', () => (got += 1))
      await once(socket, 'open')
      return socket
    }),
  )
  const header = {
    msg_id: 'm',
    msg_type: 'execute_request',
    session: 'reader-0',
    username: '',
    version: '5.3',
    date: '',
  }
  const content = { code: 'for i in range(2000): print("y" * 2000)', silent: false }
  readers[0]?.send(JSON.stringify({ header, parent_header: {}, metadata: {}, content, channel: 'shell', buffers: [] }))
  await until('all are reading', () => got > 1_000, patience)
  for (const reader of readers.slice(0, 15)) reader.pause()
  await sleep(500)
  t.true((await connectionsTo(lab)) >= 30)
  for (const reader of readers) reader.terminate()
  await until('no connection is left behind', async () => (await connectionsTo(lab)) <= before, patience)
}
