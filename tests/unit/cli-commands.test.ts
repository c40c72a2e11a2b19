/** The command as a shell runs it: what is printed where, and the exit code. */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { readFile } from 'node:fs/promises'
import { once } from 'node:events'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import test from 'ava'
import { lineSink } from '../../hub/cli/line-sink.ts'
import { main } from '../../hub/cli/main.ts'
import { expiry } from '../../hub/cli/token.ts'
import { hashSecret } from '../../hub/identity/secrets.ts'
import { lockStateFolder } from '../../hub/setup/lock.ts'
import { openStore } from '../../hub/store/index.ts'
import { prepareStateFolder } from '../../hub/setup/state-folder.ts'
import { temporaryFolder } from '../support/temporary.ts'

const project = new URL('../..', import.meta.url).pathname

async function hutch(argv: readonly string[], folder = '/') {
  const [printed, errors]: [string[], string[]] = [[], []]
  const code = await main(argv, {
    print: (text) => void printed.push(text),
    error: (text) => void errors.push(text),
    progress: (text) => void errors.push(text),
    isTerminal: false,
    folder,
  })
  return { code, printed: printed.join('\n'), errors: errors.join('\n') }
}

for (const [title, argv, code, where, expected] of [
  ['no command', [], 2, 'errors', /^Usage: hutch COMMAND/],
  ['help', ['--help'], 0, 'printed', /Commands\n[\s\S]*Exit codes\n/],
  ['the version', ['--version'], 0, 'printed', /^\d+\.\d+\.\d+$/],
  ['an unknown command', ['chekc'], 2, 'errors', /^hutch: there is no command "chekc"; did you mean hutch check\?$/],
  ['a command that Object has', ['toString'], 2, 'errors', /^hutch: there is no command "toString"; see hutch --help$/],
  [
    'an unknown option',
    ['check', 'x', '--jsn'],
    2,
    'errors',
    /no option "--jsn"; did you mean --json\?; see hutch check/,
  ],
  ['an option without its value', ['token', '--user'], 2, 'errors', /^hutch: .*--user.*; see hutch token --help$/],
  ['an argument too many', ['check', 'x', 'y'], 2, 'errors', /^hutch: "y" is one argument too many/],
  ['no file to check', ['check'], 2, 'errors', /^hutch: FILE is missing/],
  ['a missing option', ['token', '--user', 'ada', '--scope', 'x'], 2, 'errors', /^hutch: --expires is missing/],
  [
    'an end without unit',
    ['token', '--user', 'a', '--scope', 'x', '--expires', '3'],
    2,
    'errors',
    /^hutch: --expires wants/,
  ],
  [
    'a token of a configuration that is nowhere',
    ['token', '--user', 'a', '--scope', 'x', '--expires', '1h', '--config', '/nowhere'],
    78,
    'errors',
    /^\/nowhere {2}there is no such file$/,
  ],
] as const) {
  test(title, async (t) => {
    const done = await hutch(argv)
    t.is(done.code, code)
    t.regex(done[where], expected)
    t.is(done[where === 'errors' ? 'printed' : 'errors'], '')
  })
}

for (const command of ['start', 'check', 'token', 'agent', 'reference']) {
  test(`${command} --help says how it is used and its exit codes`, async (t) => {
    const done = await hutch([command, '--help'])
    t.is(done.code, 0)
    t.regex(done.printed, new RegExp(`^Usage: hutch ${command}[\\s\\S]*--help[\\s\\S]*Exit codes`))
    for (const line of done.printed.split('\n')) t.true(line.length <= 110, line)
  })
}

test('check tells all mistakes, for people and for programs', async (t) => {
  const file = join(await temporaryFolder(t), 'hutch.yaml')
  writeFileSync(file, 'hub: { ix: 1 }\nlisten: x\nflavours: {}\nprofiles: {}\nspawners: {}\n')
  const told = await hutch(['check', file])
  t.is(told.code, 1)
  t.deepEqual(told.errors.split('\n').length, 3)
  const machine = await hutch(['check', 'hutch.yaml', '--json'], join(file, '..'))
  t.is(machine.code, 1)
  const answer = JSON.parse(machine.printed) as { ok: boolean; mistakes: object[] }
  t.false(answer.ok)
  t.like(answer.mistakes[0], { file: 'hutch.yaml', line: 1, column: 8, field: 'hub.ix' })
})

test('token asks the running hub over its socket, and prints the token alone', async (t) => {
  const state = await temporaryFolder(t)
  const { run } = await prepareStateFolder(state)
  const asked: unknown[] = []
  const fakeHub = createServer((request, response) => {
    request.on('data', (data: Buffer) => asked.push(request.method, request.url, JSON.parse(data.toString())))
    request.on('end', () => response.writeHead(201).end(JSON.stringify({ token: 'hutch_secret' })))
  })
  t.teardown(() => fakeHub.close())
  fakeHub.listen(join(run, 'control.sock'))
  await once(fakeHub, 'listening')
  const argv = ['token', '--user', 'ada', '--scope', 'a', '--scope', 'b', '--expires', 'never', '--state', state]
  t.deepEqual(await hutch(argv), { code: 0, printed: 'hutch_secret', errors: '' })
  t.deepEqual(asked, ['POST', '/control/token', { user: 'ada', scopes: ['a', 'b'], note: '' }])
})

test('lengths of time for tokens', (t) => {
  t.is(expiry('12h', 1_000), 43_201_000)
  t.is(expiry('never', 1_000), undefined)
  for (const text of ['0s', '1 week', '', '-1h']) t.throws(() => expiry(text, 0), { message: /--expires wants/ }, text)
})

test('the bin runs, and passes the exit code on', (t) => {
  const done = spawnSync(process.execPath, [join(project, 'bin/hutch.js'), 'chekc'], {
    encoding: 'utf8',
    timeout: 60_000,
  })
  t.is(done.status, 2)
  t.is(done.stdout, '')
  t.is(done.stderr, 'hutch: there is no command "chekc"; did you mean hutch check?\n')
})

test('the generated reference and schema are those of the schema', async (t) => {
  for (const [file, argv] of [
    ['reference.md', ['reference']],
    ['schema.json', ['reference', '--schema']],
  ] as const) {
    const done = await hutch(argv)
    t.is(`${done.printed}\n`, await readFile(join(project, 'config', file), 'utf8'), 'stale: npm run reference')
  }
})

test('token opens the store when no hub runs, and knows who is not there', async (t) => {
  const state = await temporaryFolder(t)
  const argv = ['token', '--user', 'ada', '--scope', 'read:users', '--expires', '30d', '--state', state]
  const nobody = await hutch(argv)
  t.is(nobody.code, 1)
  t.is(nobody.errors, 'hutch: there is no user ada; they are there after their first login')
  const log = { debug() {}, info() {}, warn() {}, error() {}, child: () => log }
  const store = await openStore({ type: 'sqlite' }, { stateFolder: state, log })
  const user = {
    id: 'u1',
    name: 'ada',
    title: 'Ada',
    admin: 0,
    created_at: 0,
    email: null,
    blocked_reason: null,
    last_activity_at: null,
  }
  await store.db.insertInto('users').values(user).execute()
  const made = await hutch(argv)
  t.is(made.code, 0)
  t.regex(made.printed, /^hutch_[\w-]{43}$/)
  const rows = await store.db.selectFrom('tokens').selectAll().execute()
  await store.close()
  t.like(rows[0], { user_id: 'u1', scopes: '["read:users"]', secret_hash: hashSecret(made.printed) })
})

test('token says that a hub holds the folder when its socket is gone', async (t) => {
  const state = await temporaryFolder(t)
  await prepareStateFolder(state)
  const lock = await lockStateFolder(state)
  t.teardown(() => lock.release())
  const done = await hutch(['token', '--user', 'ada', '--scope', 'a', '--expires', '1h', '--state', state])
  t.is(done.code, 69)
  t.regex(done.errors, /^hutch: another hub .* uses the state folder/)
})

test('what nobody reads is kept up to a bound, and later it is said how many lines are missing', async (t) => {
  const stream = new PassThrough()
  const sink = lineSink(stream, (count) => `${count} are missing\n`)
  const line = `${'x'.repeat(999)}\n`
  for (let index = 0; index < 3_000; index += 1) sink.write(line)
  t.true(stream.writableLength <= 2 ** 20)
  const read: string[] = []
  stream.setEncoding('utf8').on('data', (text: string) => read.push(text))
  await once(stream, 'drain')
  sink.write('the last\n')
  stream.end()
  await once(stream, 'end')
  const lines = read.join('').trimEnd().split('\n')
  const [missing, last] = lines.slice(-2)
  t.is(missing, `${3_000 - (lines.length - 2)} are missing`)
  t.is(last, 'the last')

  const gone = new PassThrough()
  lineSink(gone, String)
  t.notThrows(() => gone.emit('error', new Error('EPIPE')))
})
