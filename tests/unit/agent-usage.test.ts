import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { PassThrough, Writable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import test from 'ava'
import * as fc from 'fast-check'
import { createActivity } from '../../images/agent/activity.ts'
import { readOwnGroup } from '../../images/agent/cgroup.ts'
import { checkDirectories } from '../../images/agent/directories.ts'
import { parseGpus } from '../../images/agent/gpus.ts'
import { noteActivity } from '../../images/agent/jupyter-activity.ts'
import { createLastLines } from '../../images/agent/last-lines.ts'
import { parseStat, treeOf, type Process } from '../../images/agent/processes.ts'
import { readPackages } from '../../images/agent/packages.ts'
import { coresBetween } from '../../images/agent/usage.ts'
import { temporaryFolder } from '../support/temporary.ts'

const processOf = (pid: number, parent: number, session: number): Process => ({
  pid,
  parent,
  session,
  startTicks: pid,
  cpuTicks: 0,
  residentPages: 1,
})

test('a process line is read whatever the command is called', async (t) => {
  const own = parseStat(await readFile('/proc/self/stat', 'utf8'))
  t.is(own?.pid, process.pid)
  t.is(own?.parent, process.ppid)
  const rest = '1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 1 0 99 1000 64 0'
  t.like(parseStat(`8 (a) R (b)) S ${rest}`), { pid: 8, parent: 1, session: 7, cpuTicks: 300, startTicks: 99 })
  for (const text of [`8 (x) Z ${rest}`, '', '8 (x', '8 (x) S 1 2']) t.is(parseStat(text), undefined)
})

test('the tree: descendants, and what shares a session with one, but not who started the agent', (t) => {
  const all = [
    processOf(1, 0, 1),
    processOf(10, 1, 10), // the spawner's shell
    processOf(20, 10, 10), // the agent, in the shell's session
    processOf(21, 20, 21), // the application
    processOf(22, 21, 22), // a kernel with a session of its own
    processOf(23, 1, 22), // its child, whose parent died
    processOf(24, 10, 10), // somebody else in the shell's session
  ]
  t.deepEqual(
    treeOf(20, all).map(({ pid }) => pid),
    [20, 21, 22, 23],
  )
  t.deepEqual(treeOf(99, all), [])
})

test('cores in use', (t) => {
  const sample = (atMs: number, cpu: Record<string, number>) => ({
    atMs,
    memoryBytes: 0,
    cpuMs: new Map(Object.entries(cpu)),
  })
  t.is(coresBetween(sample(0, { a: 100 }), sample(1_000, { a: 600, b: 500 })), 1)
  t.is(coresBetween(sample(0, { a: 100 }), sample(1_000, {})), 0)
  t.is(coresBetween(sample(0, { '': 500 }), sample(1_000, { '': 100 })), 0)
  t.is(coresBetween(sample(5, {}), sample(5, {})), undefined)
})

test('a control group counts when it is ours', async (t) => {
  const folder = await temporaryFolder(t)
  const write = async (path: string, text: string): Promise<void> => {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), text)
  }
  for (const [path, limit] of [
    ['v2', 'max'],
    ['v2/hutch/e1', 'max'],
    ['limited', '1000000\n'],
  ] as const) {
    await write(`${path}/memory.max`, limit)
    await write(`${path}/memory.current`, '5000\n')
    await write(`${path}/memory.stat`, 'anon 1\ninactive_file 1000\n')
    await write(`${path}/cpu.stat`, 'usage_usec 2000000\nuser_usec 1\n')
  }
  await write('v1/memory/hutch/e1/memory.limit_in_bytes', '9223372036854771712\n')
  await write('v1/memory/hutch/e1/memory.usage_in_bytes', '7000')
  await write('v1/memory/hutch/e1/memory.stat', 'total_inactive_file 1000\n')
  await write('v1/cpuacct/hutch/e1/cpuacct.usage', '3000000000\n')
  const rows: readonly (readonly [root: string, own: string, expected: object | undefined])[] = [
    ['v2', '0::/hutch/e1\n', { cpuMs: 2_000, memoryBytes: 4_000 }],
    ['v2', '0::/\n', undefined],
    ['v2', '0::/hutch/e11\n', undefined],
    ['limited', '0::/\n', { cpuMs: 2_000, memoryBytes: 4_000 }],
    ['v1', '5:cpu,cpuacct:/hutch/e1\n4:memory:/hutch/e1\n0::/\n', { cpuMs: 3_000, memoryBytes: 6_000 }],
    ['v1', '4:memory:/hutch/e1\n', undefined],
    ['none', '', undefined],
  ]
  for (const [root, own, expected] of rows) {
    await write('own', own)
    t.deepEqual(await readOwnGroup('e1', join(folder, root), join(folder, 'own')), expected as never, `${root} ${own}`)
  }
})

test('the answer of nvidia-smi, and what is none', (t) => {
  t.deepEqual(parseGpus('31, 2048\n0, 1\n'), [
    { utilisation: 31, memoryBytes: 2048 * 1024 * 1024 },
    { utilisation: 0, memoryBytes: 1024 * 1024 },
  ])
  t.deepEqual(parseGpus('[N/A], 5\nNo devices were found\n'), [])
  t.is(parseGpus('1, 1\n'.repeat(100)).length, 64)
})

test('activity is the newest evidence, and never in the future', (t) => {
  const now = new Date('2026-01-01T12:00:00Z')
  const activity = createActivity(() => now)
  t.is(activity.last(), undefined)
  activity.touch(new Date('nonsense'))
  t.is(activity.last(), undefined)
  activity.touch(new Date('2026-01-01T10:00:00Z'))
  activity.touch(new Date('2026-01-01T09:00:00Z'))
  t.is(activity.last()?.toISOString(), '2026-01-01T10:00:00.000Z')
  activity.touch(new Date('2027-01-01T10:00:00Z'))
  t.deepEqual(activity.last(), now)
})

test('what Jupyter lists is evidence, whatever else it says', (t) => {
  const now = new Date('2026-01-01T12:00:00Z')
  const old = '2026-01-01T10:00:00Z'
  const rows: readonly (readonly [answer: unknown, expected: string | undefined])[] = [
    [[{ execution_state: 'idle', last_activity: old }], '2026-01-01T10:00:00.000Z'],
    [[{ execution_state: 'busy', last_activity: old }], now.toISOString()],
    [[{ name: '1', last_activity: old }], '2026-01-01T10:00:00.000Z'],
    [[], undefined],
    [[null, 1, {}, { last_activity: 5 }, { last_activity: 'x' }], undefined],
    [{ message: 'no' }, undefined],
    [undefined, undefined],
  ]
  for (const [answer, expected] of rows) {
    const activity = createActivity(() => now)
    noteActivity(answer, activity)
    t.is(activity.last()?.toISOString(), expected)
  }
  fc.assert(
    fc.property(fc.jsonValue(), (answer) =>
      t.notThrows(() =>
        noteActivity(
          answer,
          createActivity(() => now),
        ),
      ),
    ),
  )
})

test('the last lines are bounded, and a reader that stopped does not fill the memory', async (t) => {
  const never = new Writable({ write: () => undefined, highWaterMark: 1 })
  const lines = createLastLines(never)
  const stream = new PassThrough()
  lines.follow(stream)
  for (let i = 0; i < 3_000; i += 1) {
    stream.write(`line ${i} ${'x'.repeat(1_000)}\n`)
    if (i % 10 === 0) await turn()
  }
  await turn()
  t.true(never.writableLength <= 1024 * 1024 + 2_000)
  t.true(lines.text(5_000).length <= 5_000)
  t.regex(lines.text(5_000), /^line 29\d\d x+\n/)
  t.regex(lines.text(5_000), /line 2999 x+$/)
})

test('directories: each problem in a sentence with its name', async (t) => {
  const folder = await temporaryFolder(t)
  const file = join(folder, 'file')
  await writeFile(file, '')
  const problems = await checkDirectories([
    { name: 'home', path: folder, readOnly: false },
    { name: 'raw', path: join(folder, 'none'), readOnly: true },
    { name: 'below a file', path: join(file, 'x'), readOnly: true },
    { name: 'a file', path: file, readOnly: true },
    { name: 'kernel', path: '/proc/self/net', readOnly: true },
  ])
  t.deepEqual(problems, [
    `The directory "raw" (${folder}/none) is not there.`,
    `The directory "below a file" (${file}/x) is not there.`,
    `The directory "a file" (${file}) is not a directory.`,
  ])
})

test('packages are what the image says, or those beside the JupyterLab that is on PATH', async (t) => {
  const folder = await temporaryFolder(t)
  const site = join(folder, 'venv/lib/python3.12/site-packages')
  for (const name of [
    'numpy-2.3.1.dist-info',
    'jupyterlab-4.4.0.dist-info',
    'numpy',
    '__pycache__',
    'odd .dist-info',
  ]) {
    await mkdir(join(site, name), { recursive: true })
  }
  await mkdir(join(folder, 'venv/bin'), { recursive: true })
  await writeFile(join(folder, 'venv/bin/jupyter-lab'), '')
  const list = join(folder, 'packages')
  const environment = { PATH: `relative:/nowhere:${join(folder, 'venv/bin')}` }
  t.is(await readPackages(environment, list), 'python jupyterlab 4.4.0\npython numpy 2.3.1\n')
  t.is(await readPackages({ PATH: '/nowhere' }, list), undefined)
  await writeFile(list, `debian bash 5.2\n${'python long 1.0\n'.repeat(10_000)}`)
  const long = (await readPackages(environment, list)) ?? ''
  t.regex(long, /^debian bash 5\.2\npython long 1\.0\n/)
  t.true(long.length <= 48_000 && long.endsWith('python long 1.0\n'), 'no half line at the end')
})
