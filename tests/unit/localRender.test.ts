import { execFile, spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { promisify } from 'node:util'
import test from 'ava'
import * as fc from 'fast-check'
import { innerCommand, sandboxArguments, startScript, type SandboxView } from '../../spawners/local/render.ts'
import { temporaryFolder } from '../support/temporary.ts'

const run = promisify(execFile)

const account = {
  name: 'alice',
  uid: 12_001,
  gid: 12_001,
  groups: [
    { name: 'p1', gid: 30_001 },
    { name: 'again', gid: 30_001 },
    { name: 'own', gid: 12_001 },
  ],
  home: '/home/alice',
  shell: '/bin/bash',
}

test('start script: whatever the values, the program gets them as they are, and nothing else is run', async (t) => {
  const folder = await temporaryFolder(t)
  const value = fc
    .string({ unit: 'binary', maxLength: 40 })
    .filter((text) => !text.includes('\0') && text.isWellFormed())
  const nasty = fc.constantFrom("'", "';id;'", '$(id)', '`id`', '\\', '"', '\n', "\\'", '${HOME}', '-n')
  let number = 0
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(value, nasty), { minLength: 1, maxLength: 6 }), async (values) => {
      const names = values.map((_value, index) => `V_${index}`)
      const variables = { HOME: '/', ...Object.fromEntries(values.map((each, index) => [`V_${index}`, each])) }
      const script = join(folder, String((number += 1)))
      await writeFile(script, startScript(variables, { umask: '0027' }))
      const print = ['/bin/sh', '-c', 'for name; do printenv -0 "$name"; done', 'sh', ...names]
      const { stdout } = await run('/bin/sh', [script, ...print], { env: { PATH: '/usr/bin:/bin' } })
      t.deepEqual(stdout.split('\0').slice(0, -1), values)
    }),
    { numRuns: 60 },
  )
})

test('start script: notes its pid, sets the umask, begins in the home', async (t) => {
  const folder = await temporaryFolder(t)
  const script = join(folder, 'start.sh')
  await writeFile(script, startScript({ HOME: folder }, { umask: '0007', pidFile: join(folder, 'agent') }))
  const { stdout } = await run('/bin/sh', [script, '/bin/sh', '-c', 'umask; pwd; cat agent; echo $$'])
  const [umask, pwd, noted, pid] = stdout.trim().split('\n')
  t.deepEqual([umask, pwd, noted], ['0007', folder, pid])
})

const view: SandboxView = {
  root: true,
  layout: { folders: ['/usr', '/opt'], links: [{ path: '/bin', target: 'usr/bin' }] },
  account,
  mounts: [
    { source: '/srv/homes/alice', target: '/home/alice', readOnly: false },
    { source: '/srv/p1', target: '/data/p1', readOnly: true },
    { source: '/srv/p1/out', target: '/data/p1/out', readOnly: false },
  ],
  readOnlyPaths: [{ source: '/srv/software', target: '/srv/software', readOnly: true }],
  agentFolder: '/srv/hub',
  programs: ['/srv/node/bin/node'],
  runFolder: '/srv/hub/.hutch/spawners/local/e1/e2',
  hidden: ['/srv/hub/.hutch', '/srv/hub/.hutch/spawners/local'],
  cgroups: ['/sys/fs/cgroup/memory/hutch-a/e1'],
  temporaryBytes: 1_000,
}

test('sandbox: the checkout that holds the agent is seen without the state in it', (t) => {
  const argv = sandboxArguments(view)
  const bound = indexOf(argv, '--ro-bind', '/srv/hub', '/run/hutch/agent')
  const hidden = indexOf(argv, '--perms', '0755', '--tmpfs', '/run/hutch/agent/.hutch')
  t.true(bound >= 0 && hidden > bound)
})

const hidingPlaces: readonly (readonly [string, Partial<SandboxView>, string | undefined])[] = [
  ['in /opt', { hidden: ['/opt/hutch/state'] }, '/opt/hutch/state'],
  ['in a folder of the configuration', { hidden: ['/srv/software/state'] }, '/srv/software/state'],
  ['elsewhere', { hidden: ['/var/lib/hutch'] }, undefined],
]
for (const [title, part, masked] of hidingPlaces) {
  test(`sandbox: a state folder ${title} is ${masked ? 'hidden' : 'not there anyhow'}`, (t) => {
    const argv = sandboxArguments({ ...view, ...part })
    const folders = argv.filter((_argument, index) => argv[index - 1] === '--tmpfs')
    t.deepEqual(folders, ['/dev/shm', '/tmp', '/var/tmp', ...(masked === undefined ? [] : [masked])])
  })
}

test('sandbox: folders above are made open, but never inside of what is mounted', (t) => {
  const argv = sandboxArguments(view)
  const made = argv.filter((_argument, index) => argv[index - 1] === '--dir')
  for (const path of ['/home', '/data', '/srv', '/run', '/run/hutch']) t.true(made.includes(path), path)
  t.false(made.includes('/data/p1'))
  t.true(argv.every((argument, index) => argument !== '--dir' || argv[index - 1] === '0755'))
})

test('sandbox: parents are mounted before what lies in them', (t) => {
  const argv = sandboxArguments(view)
  const places = [
    indexOf(argv, '--bind', '/srv/homes/alice', '/home/alice'),
    indexOf(argv, '--ro-bind', '/srv/p1', '/data/p1'),
    indexOf(argv, '--bind', '/srv/p1/out', '/data/p1/out'),
  ]
  t.deepEqual(
    places,
    places.toSorted((a, b) => a - b),
  )
  t.true((places[0] ?? -1) > 0)
})

test('sandbox: as root it has what setpriv needs and no user namespace; as a user the reverse', (t) => {
  t.true(indexOf(sandboxArguments(view), '--cap-drop', 'ALL', '--cap-add', 'CAP_SETUID') > 0)
  t.false(sandboxArguments(view).includes('--unshare-user'))
  t.true(sandboxArguments({ ...view, root: false }).includes('--unshare-user'))
  t.false(sandboxArguments({ ...view, root: false }).includes('--cap-add'))
})

test('script: secrets come by a pipe, in the order of their names, and stand in no file', async (t) => {
  const script = startScript({ HOME: '/', A: 'seen' }, { umask: '0027', secrets: ['ONE', 'TWO'], directory: '/tmp/' })
  const child = spawn('/bin/sh', ['-c', script, 'sh', 'sh', '-c', 'echo "$A $ONE $TWO $PWD"; cat'], { stdio: 'pipe' })
  child.stdin.end('first second\n')
  t.is(await text(child.stdout), 'seen first second /tmp\n')
  t.false(script.includes('first'))
})

test('command: becomes the account by numbers, each once, and finds the agent where the sandbox has it', (t) => {
  const agent = ['/srv/node/bin/node', '/srv/hub/images/agent/main.ts', '--flag', '/srv/hubris']
  t.deepEqual(innerCommand(view, agent), [
    ...'/usr/bin/setpriv --reuid 12001 --regid 12001 --groups 30001'.split(' '),
    ...'--inh-caps=-all --bounding-set=-all --no-new-privs --'.split(' '),
    ...'/bin/sh /run/hutch/start.sh /run/hutch/bin/0/node /run/hutch/agent/images/agent/main.ts'.split(' '),
    ...'--flag /srv/hubris'.split(' '),
  ])
  t.is(innerCommand({ ...view, root: false }, agent)[0], '/bin/sh')
  t.true(innerCommand({ ...view, account: { ...account, groups: [] } }, agent).includes('--clear-groups'))
})

function indexOf(argv: readonly string[], ...wanted: readonly string[]): number {
  return argv.findIndex((_argument, index) => wanted.every((each, offset) => argv[index + offset] === each))
}
