import { spawn } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import test from 'ava'
import type { Observation } from '../../spawners/spawner.ts'
import { groupOomKills, groupPlan, groupVersion, makeGroups } from '../../spawners/local/cgroups.ts'
import { descendantsOf, parseStat } from '../../spawners/local/processes.ts'
import { readFacts, type Facts } from '../../spawners/local/read.ts'
import type { LocalRecord } from '../../spawners/local/record.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

const startedAt = new Date(1_000_000)
const endedAt = new Date(2_000_000)
const record: LocalRecord = {
  version: 1,
  id: 'e1',
  hub: 'hub',
  owner: 'alice',
  digest: 'd',
  run: 'eaaaaaaaaaaaa',
  keeper: { pid: 7, startTime: '1', bootId: 'b' },
  sandboxed: true,
  cgroups: [],
  stopTimeoutMs: 1,
  oomKills: 3,
}
const running: Facts = {
  sameBoot: true,
  keeperLives: true,
  marker: { is: 'running', startedAt },
  stopping: false,
  movedEnd: undefined,
  groupOomKills: undefined,
  machineOomKills: 3,
}
const ended = (code: number): Partial<Facts> => ({
  keeperLives: false,
  marker: { is: 'ended', code, startedAt, endedAt },
})

const rows: readonly (readonly [string, Partial<Facts>, Partial<LocalRecord>, Partial<Observation> | undefined])[] = [
  ['runs', {}, {}, { phase: 'running', hosts: ['127.0.0.1'], startedAt }],
  ['runs with an end', {}, { walltimeMs: 500 }, { phase: 'running', endsAt: new Date(1_000_500) }],
  ['runs with a moved end', { movedEnd: endedAt }, { walltimeMs: 500 }, { phase: 'running', endsAt: endedAt }],
  ['is about to start', { marker: { is: 'waiting' } }, {}, { phase: 'pending', stage: 'starting' }],
  ['was cut off before it began', { marker: { is: 'waiting' }, keeperLives: false }, {}, undefined],
  ['is being stopped', { stopping: true }, {}, { phase: 'stopping' }],
  ['has ended while being stopped', { ...ended(0), stopping: true }, {}, { phase: 'stopping' }],
  ['has completed', ended(0), {}, { phase: 'ended', reason: 'completed', exitCode: 0, startedAt, endedAt }],
  ['has failed', ended(3), {}, { phase: 'ended', reason: 'failed', exitCode: 3, message: 'It ended with exit code 3' }],
  ['was killed', ended(137), {}, { phase: 'ended', reason: 'failed', message: 'It was ended by signal 9' }],
  ['was out of memory', { ...ended(1), groupOomKills: 1 }, {}, { phase: 'ended', reason: 'outOfMemory', exitCode: 1 }],
  [
    'lost a kernel, and went on to its end',
    { ...ended(0), groupOomKills: 1 },
    {},
    { phase: 'ended', reason: 'completed' },
  ],
  ['failed within its memory', { ...ended(137), groupOomKills: 0, machineOomKills: 9 }, {}, { reason: 'failed' }],
  ['was killed as memory was short', { ...ended(137), machineOomKills: 4 }, {}, { reason: 'outOfMemory' }],
  ['failed as another was killed for memory', { ...ended(1), machineOomKills: 4 }, {}, { reason: 'failed' }],
  ['lost its keeper', { keeperLives: false }, {}, { phase: 'ended', reason: 'vanished' }],
  ['was there before a restart', { keeperLives: false, sameBoot: false }, {}, { phase: 'ended', reason: 'nodeLost' }],
]
for (const [title, facts, part, expected] of rows) {
  test(`an environment ${title}`, (t) => {
    const observation = readFacts({ ...record, ...part }, { ...running, ...facts })
    if (expected === undefined) t.is(observation, undefined)
    else t.like(observation, expected)
  })
}

test('stat: a name may hold parentheses, spaces and line breaks', (t) => {
  const fields = Array.from({ length: 50 }, (_unused, index) => String(index + 4))
  t.deepEqual(parseStat(`42 (a) S 1 (b\n) Z ${fields.join(' ')}`), {
    pid: 42,
    isZombie: true,
    parent: 4,
    startTime: '22',
  })
})

test('descendants: the whole tree below, and nothing beside it', async (t) => {
  const child = spawn('sh', ['-c', 'sh -c "sleep 60 & wait" & sleep 60 & wait'], { detached: true, stdio: 'ignore' })
  t.teardown(() => process.kill(-(child.pid ?? 0), 'SIGKILL'))
  const pid = child.pid ?? 0
  const found = await until('all are there', async () => {
    const infos = await descendantsOf(pid)
    const names = await Promise.all(infos.map((info) => readFile(`/proc/${info.pid}/comm`, 'utf8')))
    return names.filter((name) => name === 'sleep\n').length === 2 && infos
  })
  t.is(found.length, 3)
  t.is(found.filter((info) => info.parent === pid).length, 2)
})

const resources = { cpu: 1.5, memoryBytes: 2 ** 30, gpus: 0, processes: 100 }
const plans = [
  {
    version: 2,
    there: { 'cgroup.controllers': 'cpuset cpu io memory pids\n' },
    files: {
      'cgroup.subtree_control': '+cpu +memory +pids',
      'hutch/cgroup.subtree_control': '+cpu +memory +pids',
      'hutch/e1/memory.max': '1073741824',
      'hutch/e1/cpu.max': '150000 100000',
      'hutch/e1/pids.max': '100',
    },
    missing: 'hutch/e1/memory.swap.max',
    oom: ['hutch/e1/memory.events', 'low 0\noom 2\noom_kill 2\n'],
  },
  {
    version: 1,
    there: Object.fromEntries(['memory', 'cpu', 'cpuacct', 'pids'].map((name) => [`${name}/cgroup.procs`, ''])),
    files: {
      'memory/hutch/e1/memory.limit_in_bytes': '1073741824',
      'cpu/hutch/e1/cpu.cfs_period_us': '100000',
      'cpu/hutch/e1/cpu.cfs_quota_us': '150000',
      'pids/hutch/e1/pids.max': '100',
    },
    missing: 'memory/hutch/e1/memory.memsw.limit_in_bytes',
    oom: ['memory/hutch/e1/memory.oom_control', 'oom_kill_disable 0\nunder_oom 0\noom_kill 2\n'],
  },
] as const
for (const { version, there, files, missing, oom } of plans) {
  test(`control groups, version ${version}: what is written where`, async (t) => {
    const root = await temporaryFolder(t)
    // The kernel makes a group's files with its folder; a plain folder needs them first.
    for (const [name, content] of Object.entries(there)) await put(join(root, name), content)
    for (const name of Object.keys(files)) await put(join(root, name), '')
    t.is(await groupVersion(root), version)
    const plan = groupPlan(version, root, 'hutch', 'e1', resources)
    await makeGroups(plan)
    for (const [name, value] of Object.entries(files)) t.is(await readFile(join(root, name), 'utf8'), value, name)
    await t.throwsAsync(readFile(join(root, missing)), { code: 'ENOENT' })
    await put(join(root, oom[0]), oom[1])
    t.is(await groupOomKills(plan.own), 2)
  })

  test(`control groups, version ${version}: without a file for a limit nothing is launched`, async (t) => {
    const root = await temporaryFolder(t)
    await t.throwsAsync(makeGroups(groupPlan(version, root, 'hutch', 'e1', resources)))
  })
}

test('control groups: a unified hierarchy without our controllers is none', async (t) => {
  const root = await temporaryFolder(t)
  await put(join(root, 'cgroup.controllers'), 'hugetlb\n')
  t.is(await groupVersion(root), undefined)
})

async function put(path: string, content: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, content)
}
