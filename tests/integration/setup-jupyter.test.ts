/** JupyterLab is found on PATH or set up; where that fails, the reason is a sentence for the launch page. */
import { once } from 'node:events'
import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { findJupyter } from '../../hub/setup/jupyter-on-path.ts'
import { findOrInstallJupyter } from '../../hub/setup/jupyter.ts'
import { available, program } from '../support/component.ts'
import { jupyterOnPath } from '../support/jupyter-on-path.ts'
import { quietLog } from '../support/quiet-log.ts'
import { temporaryFolder } from '../support/temporary.ts'

/** Without the machine's own Jupyter, package index and pip settings. */
const bare = { PATH: '/usr/bin:/bin', HOME: '/nowhere', PIP_CONFIG_FILE: '/dev/null' }

async function install(t: ExecutionContext, env: NodeJS.ProcessEnv, signal = AbortSignal.timeout(120_000)) {
  const stateFolder = await temporaryFolder(t)
  await mkdir(join(stateFolder, 'jupyter'))
  await writeFile(join(stateFolder, 'jupyter/half'), 'left behind by a start that was killed')
  const steps: number[] = []
  const found = await findOrInstallJupyter({
    stateFolder,
    log: quietLog,
    progress: ({ percent }) => void steps.push(percent),
    signal,
    env: { ...bare, ...env },
  })
  return { found, left: await readdir(stateFolder), steps }
}

async function fakeIndex(t: ExecutionContext, answer: (url: string) => string | undefined) {
  const asked: { url: string; authorization: string | undefined }[] = []
  const server = createServer((request, response) => {
    const url = request.url ?? ''
    asked.push({ url, authorization: request.headers.authorization })
    const body = answer(url)
    response.writeHead(body === undefined ? 404 : 200, { 'content-type': 'text/html' }).end(body)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return { port: (server.address() as AddressInfo).port, asked }
}

test('no package index: a reason, and nothing half-made is left', async (t) => {
  if (!available(t, 'Python 3', program('python3'), 'apt-get install python3')) return
  const { found, left, steps } = await install(t, { PIP_INDEX_URL: 'http://somebody:hunter2@127.0.0.1:1/simple' })
  t.true('missing' in found)
  const reason = 'missing' in found ? found.missing : ''
  t.regex(reason, /^JupyterLab is missing: the package index can't be reached: .*refused.* It is tried again/)
  t.notRegex(reason, /hunter2|\n/)
  t.deepEqual(left, [])
  t.is(steps[0], 0)
})

test('an index without the wheel, and one with another wheel of that name', async (t) => {
  if (!available(t, 'Python 3', program('python3'), 'apt-get install python3')) return
  const empty = await fakeIndex(t, () => '<a href="pip-1.0-py3-none-any.whl">old</a>')
  const without = await install(t, { PIP_INDEX_URL: `http://127.0.0.1:${empty.port}/simple/` })
  t.regex(JSON.stringify(without.found), /does not have pip-\d/)
  t.is(empty.asked[0]?.url, '/simple/pip/')

  const forged = await fakeIndex(t, (url) =>
    url.endsWith('/pip/') ? '<a href="../../files/pip-26.3-py3-none-any.whl#sha256=00">pip</a>' : 'not the wheel',
  )
  const other = await install(t, { PIP_INDEX_URL: `http://somebody:hunter2@127.0.0.1:${forged.port}/simple` })
  t.regex(JSON.stringify(other.found), /has another pip-\S+ than the one that was tested/)
  const basic = `Basic ${Buffer.from('somebody:hunter2').toString('base64')}`
  t.deepEqual(forged.asked, [
    { url: '/simple/pip/', authorization: basic },
    { url: '/files/pip-26.3-py3-none-any.whl', authorization: basic },
  ])
})

test("the index of pip's configuration files is used", async (t) => {
  if (!available(t, 'Python 3', program('python3'), 'apt-get install python3')) return
  const [index, wrong] = [await fakeIndex(t, () => ''), await fakeIndex(t, () => '')]
  const home = await temporaryFolder(t)
  await mkdir(join(home, '.config/pip'), { recursive: true })
  await writeFile(
    join(home, '.config/pip/pip.conf'),
    `[global]\nindex-url = http://127.0.0.1:${wrong.port}/\n[install]\nindex-url = http://127.0.0.1:${index.port}/own\n`,
  )
  await install(t, { HOME: home, PIP_CONFIG_FILE: undefined })
  t.is(index.asked[0]?.url, '/own/pip/')
  t.deepEqual(wrong.asked, [])
})

test('it can be interrupted', async (t) => {
  if (!available(t, 'Python 3', program('python3'), 'apt-get install python3')) return
  const { found, left } = await install(t, {}, AbortSignal.abort())
  t.regex(JSON.stringify(found), /its set-up was interrupted/)
  t.deepEqual(left, [])
})

test('a real one is set up, found again at once, and found on PATH by another hub', async (t) => {
  const binFolder = await jupyterOnPath(t)
  if (binFolder === undefined) return
  const env = { ...bare, PATH: `/nowhere:${binFolder}:/usr/bin` }
  const stateFolder = await temporaryFolder(t)
  const options = {
    stateFolder,
    log: quietLog,
    progress: () => t.fail('it was set up'),
    signal: AbortSignal.timeout(60_000),
  }
  t.deepEqual(await findOrInstallJupyter({ ...options, env }), { binFolder, folder: join(binFolder, '..') })
  t.is(await jupyterOnPath(t), binFolder)
})

test('what is on PATH but does not work, or would not be seen in a sandbox, is passed over', async (t) => {
  const folder = await temporaryFolder(t)
  const script = async (name: string, text: string) => {
    await mkdir(join(folder, name), { recursive: true })
    for (const program of ['jupyter', 'jupyter-lab']) {
      await writeFile(join(folder, name, program), text)
      await chmod(join(folder, name, program), 0o755)
    }
    return join(folder, name)
  }
  const places = [
    await script('shim', '#!/bin/sh\nexit 127\n'),
    await script('gone', '#!/nowhere/bin/python3\n'),
    // As pip install --user makes them: the script is in a home, the interpreter is the system's.
    await script('bin', '#!/usr/bin/python3\nprint("4.6.6")\n'),
  ]
  for (const path of [...places, 'relative', '', '/nowhere']) {
    t.is(await findJupyter(path, AbortSignal.timeout(30_000)), undefined, path)
  }
})
