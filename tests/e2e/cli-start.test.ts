/** `hutch start` where something is wrong: one line for people, no stack trace, the right exit code. */
import { once } from 'node:events'
import { readdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { available, program } from '../support/component.ts'
import { fails, startCommand } from '../support/failing-start.ts'
import { freePort, startHutch } from '../support/hutch.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

const small = `
login: { demo: true }
flavours: { small: { title: Small, cpu: 1, memory: 1GiB } }
spawners: { here: { type: local, allowUnsandboxed: true } }
profiles: { terminal: { title: Terminal, kind: terminal, flavours: [small], on: { here: {} } } }
`

async function configured(t: ExecutionContext, more = '') {
  const folder = await temporaryFolder(t)
  const file = join(folder, 'hutch.yaml')
  await writeFile(file, small + more)
  return { folder, file, state: join(folder, 'state'), listen: `127.0.0.1:${await freePort()}` }
}

test('a port that is taken', async (t) => {
  const { file, state } = await configured(t)
  const other = createServer().listen(0, '127.0.0.1')
  t.teardown(() => other.close())
  await once(other, 'listening')
  const { port } = other.address() as { port: number }
  const { code, lines } = await fails(
    t,
    startCommand('--config', file, '--state', state, '--listen', `127.0.0.1:${port}`),
  )
  t.is(code, 69, lines.join('\n'))
  t.is(lines.length, 1)
  t.regex(lines[0] ?? '', new RegExp(`^hutch: .*127\\.0\\.0\\.1:${port}.*taken`))
})

test('a second hub on the same folder', async (t) => {
  const { file, state, listen } = await configured(t)
  const first = await startHutch(t, { state, args: ['--config', file] })
  const { code, lines } = await fails(t, startCommand('--config', file, '--state', state, '--listen', listen))
  t.is(code, 69, lines.join('\n'))
  t.deepEqual(lines, [
    `hutch: another hub (process ${first.process.pid}) uses the state folder ${state}; stop it, or choose another with --state`,
  ])
  t.is((await fetch(`${first.url}/hub/login`)).status, 200, 'the first goes on')
})

test('a broken configuration', async (t) => {
  const { file } = await configured(t, 'hubb: {}\nlistne: x\n')
  const { code, lines } = await fails(t, startCommand('--config', file))
  t.is(code, 78)
  t.deepEqual(lines, [
    `${file}:6:1  hubb: there is no such field; did you mean hub?`,
    `${file}:7:1  listne: there is no such field; did you mean listen?`,
  ])
})

test('a database that does not answer', async (t) => {
  const { file, state, listen } = await configured(t, 'database: { type: postgresql, host: 127.0.0.1, port: 1 }\n')
  const { code, lines } = await fails(t, startCommand('--config', file, '--state', state, '--listen', listen))
  t.is(code, 69, lines.join('\n'))
  t.is(lines.length, 1)
  t.regex(lines[0] ?? '', /^hutch: PostgreSQL at 127\.0\.0\.1:1: nothing listens there/)
})

for (const [title, mount, expected, line] of [
  [
    'a read-only state folder',
    (path: string) => ['--ro-bind', path, path],
    73,
    /^hutch: the state folder .* is on a read-only disk/,
  ],
  [
    'a full disk',
    (path: string) => ['--size', String(2 ** 20), '--tmpfs', path],
    74,
    /^hutch: the disk of the state folder .* is full/,
  ],
] as const) {
  test(title, async (t) => {
    const bwrap = program('bwrap')
    if (!available(t, 'bubblewrap', bwrap, 'apt-get install bubblewrap')) return
    const { file, folder, listen } = await configured(t)
    const state = await temporaryFolder(t)
    const sandbox = [bwrap ?? '', '--dev-bind', '/', '/', ...mount(state), '--chdir', folder]
    const { code, lines } = await fails(t, [
      ...sandbox,
      ...startCommand('--config', file, '--state', state, '--listen', listen),
    ])
    t.is(code, expected, lines.join('\n'))
    t.is(lines.length, 1)
    t.regex(lines[0] ?? '', line)
  })
}

test('a login provider that does not answer is a warning, and the hub runs, also when nobody reads its log', async (t) => {
  const { file, state } = await configured(t)
  await writeFile(
    file,
    small.replace('demo: true', 'providers: { site: { title: Site, issuer: "http://127.0.0.1:1/", clientId: hutch } }'),
  )
  const hutch = await startHutch(t, { state, args: ['--config', file] })
  await until('it says so', () => /login\.providers\.site: .* does not answer/.test(hutch.output()))
  t.is((await fetch(`${hutch.url}/hub/login`)).status, 200)

  // More lines than a pipe holds.
  hutch.process.stderr?.pause()
  const path = `/hub/api/v1/${'nothing'.repeat(40)}`
  for (let round = 0; round < 60; round += 1) {
    const answers = await Promise.all(Array.from({ length: 16 }, () => fetch(hutch.url + path)))
    for (const answer of answers) t.is(answer.status, 404)
    await Promise.all(answers.map((answer) => answer.text()))
  }
  hutch.process.stderr?.resume()
  await until('what was kept is read', () => hutch.output().split(path).length > 500)
  t.is(await hutch.stop(), 0)
})

test('Ctrl-C, also when it comes twice at once, ends all that was started', async (t) => {
  const { file, state } = await configured(t)
  const hutch = await startHutch(t, { state, args: ['--config', file] })
  const welcome = /Hutch is at http:\/\/127\.0\.0\.1:\d+[\s\S]*Log in as one of/
  t.truthy(await until('it says how to log in', () => welcome.test(hutch.output())))
  hutch.process.kill('SIGINT')
  hutch.process.kill('SIGINT')
  t.is(await hutch.stop(), 0)
  t.deepEqual(
    (await readdir(join(state, 'run'))).filter((name) => name.endsWith('.sock')),
    [],
  )
  await t.throwsAsync(fetch(`${hutch.url}/hub/login`))
})
