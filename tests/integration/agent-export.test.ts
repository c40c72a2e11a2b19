/** The exported folder: whole, moved anywhere, and running where there is nothing else. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmod, copyFile, mkdir, readFile, readdir, realpath, rename, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import test from 'ava'
import { exportAgent, exportedArgv } from '../../images/agent/export.ts'
import { startAgent } from '../support/agent.ts'
import { available, program } from '../support/component.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

const run = promisify(execFile)

test.serial(
  'every file is in the manifest; it runs from wherever it is moved to, by argv and by its launcher',
  async (t) => {
    const folder = await temporaryFolder(t)
    const first = join(folder, 'a')
    const { bytes, files } = await exportAgent({ folder: first })
    t.true(bytes > 100e6 && bytes < 160e6, `${bytes}`)
    const manifest = JSON.parse(await readFile(join(first, 'manifest.json'), 'utf8')) as {
      files: { path: string; bytes: number; sha256: string }[]
    }
    t.is(manifest.files.length, files)
    const there = await readdir(first, { recursive: true, withFileTypes: true })
    const names = there
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(first.length + 1))
    t.deepEqual(
      names.filter((name) => name !== 'manifest.json').toSorted(),
      manifest.files.map(({ path }) => path),
    )
    for (const { path, sha256 } of manifest.files) {
      t.is(
        createHash('sha256')
          .update(await readFile(join(first, path)))
          .digest('hex'),
        sha256,
        path,
      )
    }
    const moved = join(folder, 'a folder with spaces')
    await rename(first, moved)
    t.notRegex(await readFile(join(moved, 'agent.cjs'), 'utf8'), new RegExp(dirname(dirname(import.meta.dirname))))
    t.notRegex(
      await readFile(join(moved, 'agent.cjs'), 'utf8'),
      /ZodType|zod/i,
      'it checks by hand: each would pay for zod',
    )
    for (const argv of [await exportedArgv(moved), [join(moved, 'agent')]]) {
      const agent = await startAgent(t, { argv })
      await agent.untilReady()
      const terminal = await agent.webSocket(`${agent.prefix}_hutch/terminal/ws`)
      t.is(terminal.readyState, terminal.OPEN)
      t.is((await agent.ask(`${agent.prefix}_hutch/static/xterm.js`)).status, 200)
      t.is(await agent.stop(), 0)
    }
  },
)

test.serial(
  'a folder with something else in it is refused; an earlier export makes room and stays beside',
  async (t) => {
    const folder = await temporaryFolder(t)
    const [foreign, wanted] = [join(folder, 'foreign'), join(folder, 'new/agent')]
    await mkdir(foreign)
    await writeFile(join(foreign, 'thesis.tex'), '')
    await t.throwsAsync(exportAgent({ folder: foreign }), { message: /holds something else/ })
    t.deepEqual(await readdir(foreign), ['thesis.tex'])
    await writeFile(join(foreign, 'manifest.json'), '{"kind":"theirs"}')
    await t.throwsAsync(exportAgent({ folder: foreign }), { message: /holds something else/ })
    await t.throwsAsync(exportedArgv(foreign), { message: /hutch agent export/ })
    await exportAgent({ folder: wanted })
    await writeFile(join(wanted, 'mark'), '')
    const agent = await startAgent(t, { argv: await exportedArgv(wanted) })
    await agent.untilReady()
    await exportAgent({ folder: wanted })
    t.deepEqual((await readdir(dirname(wanted))).toSorted(), ['agent', 'agent.previous'])
    t.true((await readdir(`${wanted}.previous`)).includes('mark'))
    t.false((await readdir(wanted)).includes('mark'))
    const terminal = await agent.webSocket(`${agent.prefix}_hutch/terminal/ws`)
    t.is(terminal.readyState, terminal.OPEN, 'the running one goes on')
  },
)

test.serial('it runs a terminal as a user in a root that holds nothing but a shell', async (t) => {
  if (!available(t, 'root', process.getuid?.() === 0, 'run the tests as root for chroot')) return
  const root = await temporaryFolder(t)
  await exportAgent({ folder: join(root, 'agent') })
  for (const name of ['proc', 'dev']) await mkdir(join(root, name))
  await chmod(root, 0o755)
  await installShell(root)
  const argv = await exportedArgv(join(root, 'agent'), '/agent')
  const privately = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c']
  const chroot = program('chroot') ?? 'chroot'
  const mount = 'mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && shift && exec "$@"'
  const agent = await startAgent(t, {
    argv: [...privately, mount, 'sh', root, chroot, '--userspec=12001:12001', '--groups=', root, ...argv],
    env: { SHELL: '/bin/sh', HOME: '/', NODE_EXTRA_CA_CERTS: undefined },
    bootstrap: { application: { kind: 'terminal', argv: [], readyPath: '', landingPath: '', directory: '/' } },
  })
  await agent.untilReady()
  const terminal = await agent.webSocket(`${agent.prefix}_hutch/terminal/ws`)
  let output = ''
  terminal.on('message', (data: Buffer) => (output += data.toString()))
  terminal.send(Buffer.from('cd /; echo "<$PWD>" *\n'))
  await until('the shell answers', () => /<\/> agent bin dev lib[^\r]* proc/.test(output), { timeoutMs: 60_000 }).catch(
    () => undefined,
  )
  t.regex(output, /<\/> agent bin dev lib[^\r]* proc/)
  t.is(await agent.stop(), 0)
})

/** The system's shell with the libraries that it needs, where it looks for them. */
async function installShell(root: string): Promise<void> {
  const shell = await realpath('/bin/sh')
  const { stdout } = await run('ldd', [shell])
  const libraries = [...stdout.matchAll(/(\/\S+) \(/g)].map(([, path = '']) => path)
  for (const path of [shell, ...libraries]) {
    const target = path === shell ? '/bin/sh' : path
    await mkdir(join(root, dirname(target)), { recursive: true })
    await copyFile(await realpath(path), join(root, target))
    await chmod(join(root, target), 0o755)
  }
}
