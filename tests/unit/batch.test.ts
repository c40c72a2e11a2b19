import { readdir, readFile } from 'node:fs/promises'
import test from 'ava'
import { array, assert as holds, constantFrom, property, string, tuple } from 'fast-check'
import { parse } from 'yaml'
import { configSchema, templateOf } from '../../spawners/batch/config.ts'
import { createCluster } from '../../spawners/slurm/commands/cluster.ts'
import { readJobs } from '../../spawners/slurm/commands/read.ts'
import { marked } from '../../spawners/slurm/commands/rows.ts'
import type { Ran, RunOptions } from '../../spawners/slurm/commands/run.ts'
import { argvOf } from '../../spawners/slurm/commands/words.ts'
import type { Submission } from '../../spawners/slurm/cluster.ts'
import { refusalOf } from '../../spawners/slurm/refusals.ts'
import { observationOf } from '../../spawners/slurm/states.ts'
import { ClusterRefused } from '../../spawners/slurm/cluster.ts'
import { LaunchRefused } from '../../spawners/spawner.ts'

const launcher = { by: 'command', argv: ['/opt/become', '{user}', '{uid}'] }
const config = (part: object) => configSchema.parse({ launcher, agentFolder: '/shared/agent', ...part })
const slurm = templateOf(config({ system: 'slurm' }))
const gridEngine = templateOf(config({ system: 'gridengine' }))

const submission: Submission = {
  name: 'hutch-h-eabc-00',
  comment: 'hutch YWRh 00 11',
  script: '#!/bin/bash\n',
  directory: '/home/ada',
  output: '/log/ada-eabc',
  environment: { HOME: '/home/ada', PATH: '/usr/bin:/bin' },
  timeLimitMinutes: 30,
  cpus: 2,
  memoryMegabytes: 100,
  tasks: 2,
  nodes: 1,
  gpus: 0,
  exclusive: false,
}

test('a word is one argument whatever its value, and is left out with its group where it has none', (t) => {
  const words = ['qsub', ['-q', '{queue}'], '--gpus={gpus}', ['-l', 'a={a},b={b}'], '{name}']
  t.deepEqual(argvOf(words, { queue: 'a b; $(reboot)', a: 1, name: 'n' }), ['qsub', '-q', 'a b; $(reboot)', 'n'])
  t.deepEqual(argvOf(words, { a: '{b}', b: '{a}', name: 'n' }), ['qsub', '-l', 'a={b},b={a}', 'n'])
  for (const name of ['-x', 'a\nb', 'a\0b']) {
    t.throws(() => argvOf(words, { name }), { instanceOf: LaunchRefused }, JSON.stringify(name))
  }
  const rules = { escapes: { output: { '%': '%%' } }, forbidden: { home: ',' } }
  t.deepEqual(argvOf(['x', '{output}'], { output: '/a%j' }, rules), ['x', '/a%%j'])
  t.throws(() => argvOf(['x', '{home}'], { home: '/a,b' }, rules), { message: /home can't have ","/ })
})

test('whatever somebody calls a job, it ends no column and begins no row', (t) => {
  const name = array(constantFrom('\n', '|', '~', ' ', 'a', '0'), { maxLength: 8 }).map((each) => each.join(''))
  holds(
    property(array(tuple(name, name)), string({ minLength: 12, maxLength: 12 }), (rows, secret) => {
      const mark = `~${Buffer.from(secret).toString('hex')}~`
      const text = rows.map((row) => `${row.join(mark)}${mark}\n`).join('')
      const read = marked(text, ['one', 'two'], mark)
      t.deepEqual(
        read.map((row) => [row.get('one'), row.get('two')]),
        rows.map((row) => row.map((each, index) => (index === 0 ? each.replace(/^\n/, '') : each).trim())),
      )
    }),
  )
  t.throws(() => marked('a~b', ['one', 'two'], '~'))
})

const listing = { mark: '~', at: Date.UTC(2026, 10, 21, 18) }

test('what each system lists is read: who, where, since when, and in which state', (t) => {
  const row = (...parts: string[]): string => parts.map((each) => `${each}~`).join('')
  const squeue = `${row('7', '23101', 'ada', 'RUNNING', 'None', 'main', 'n1', '2026-11-21T17:00:00', '2026-11-21T18:00:00', '3', 'research', 'normal', 'cpu=2,node=1', 'hutch c', 'a\nb')}\n`
  const [job] = readJobs(squeue, slurm.listed, listing)
  t.like(job, { jobId: 7, uid: 23_101, user: 'ada', batchHost: 'n1', name: 'a\nb', priority: 3, comment: 'hutch c' })
  t.like(job, { account: 'research', qos: 'normal', tres: 'cpu=2,node=1' })
  t.is(job?.startAt?.toISOString(), '2026-11-21T17:00:00.000Z')
  t.like(job && observationOf(job, undefined), { phase: 'running' })

  const sacct = `${row('7', 'x', 'ada', 'CANCELLED by 23101', '0:15', '2026-11-21T17:00:00', 'Unknown', 'main', 'n1')}\n`
  const [ended] = readJobs(sacct, slurm.endings ?? slurm.listed, listing)
  t.like(ended, { state: 'CANCELLED', exit: { code: 0, signal: 15 }, endAt: undefined })

  const element = (state: string, more = ''): string =>
    `<job_list state="x"><JB_job_number>9</JB_job_number><JB_name>h&lt;&amp;&gt;</JB_name><JB_owner>ada</JB_owner><state>${state}</state><JAT_start_time>2026-11-21T17:00:00</JAT_start_time><queue_name>all.q@vm</queue_name>${more}</job_list>`
  const states: [string, object][] = [
    ['r', { phase: 'running', hosts: ['vm'] }],
    ['qw', { phase: 'pending', message: 'It is in the queue.' }],
    ['hqw', { phase: 'pending' }],
    ['Eqw', { phase: 'pending', message: /could not start it/ }],
    ['t', { phase: 'pending', stage: 'scheduling' }],
    ['dr', { phase: 'stopping' }],
    ['S', { phase: 'running' }],
    ['?', { phase: 'unknown' }],
  ]
  for (const [state, wanted] of states) {
    const [listed] = readJobs(element(state), gridEngine.listed, listing)
    const seen = listed && observationOf(listed, undefined, 'Grid Engine')
    const { message, ...rest } = wanted as { message?: string | RegExp }
    t.like(seen, rest, state)
    if (message !== undefined) t.regex(seen && 'message' in seen ? seen.message : '', new RegExp(message))
    t.is(listed?.name, 'h<&>')
  }
  t.deepEqual(
    readJobs(element('r', '<JB_owner>marie</JB_owner>'), gridEngine.listed, listing),
    [],
    'two owners are none',
  )

  const block = (lines: string): string => `${'='.repeat(20)}\njobnumber    9   \njobname  x\nowner ada\n${lines}`
  for (const [lines, wanted] of [
    ['failed 0\nexit_status 3\nend_time Sat Nov 21 17:10:23 2026\n', { state: 'FAILED', exit: { code: 3, signal: 0 } }],
    ['failed 100 : assumedly after job\nexit_status 137\n', { state: 'FAILED', exit: { code: 0, signal: 9 } }],
    ['failed 37  : qmaster enforced h_rt limit\nexit_status 137\n', { state: 'TIMEOUT' }],
    ['failed 26  : opening output file\nexit_status 0\n', { state: 'FAILED' }],
    ['failed 0\nexit_status 0\n', { state: 'COMPLETED' }],
  ] as const) {
    t.like(readJobs(block(lines), gridEngine.endings ?? gridEngine.listed, listing)[0], wanted, lines)
  }
})

/** Says what it was asked, and answers as it is told. */
function scripted(answers: readonly Partial<Ran>[]): {
  asked: { argv: readonly string[]; input?: string }[]
  run: Run
} {
  const asked: { argv: readonly string[]; input?: string }[] = []
  return {
    asked,
    run: async (argv, { input }) => {
      asked.push({ argv, ...(input === undefined ? {} : { input }) })
      return { code: 0, output: Buffer.from('8\n'), said: '', ...answers[asked.length - 1] }
    },
  }
}
type Run = (argv: readonly string[], options: RunOptions) => Promise<Ran>

function clusterWith(template: typeof slurm, run: Run): ReturnType<typeof createCluster> {
  return createCluster({
    template,
    folder: '/opt/bin',
    variables: {},
    launcher: {
      as: async (person, argv) => ({ argv: ['as', person.user, ...argv], variables: {} }),
      failed: () => undefined,
    },
    run,
    uids: { of: async () => 23_101 },
    now: () => new Date(listing.at),
    prefix: 'hutch-h-',
  })
}

const ada = { user: 'ada', uid: 23_101 }
const signal = AbortSignal.timeout(60_000)

test('a submit is the user’s, has its script on standard input, and its key nowhere that others read', async (t) => {
  const { asked, run } = scripted([])
  t.is(await clusterWith(slurm, run).submit(ada, { ...submission, gpus: 2, gpuType: 'a100' }, signal), 8)
  t.deepEqual(asked[0]?.argv.slice(0, 4), ['as', 'ada', '/opt/bin/sbatch', '--parsable'])
  t.true(asked[0]?.argv.includes('--gres=gpu:a100:2'))
  t.false(asked[0]?.argv.some((word) => word.startsWith('--nodes') || word.startsWith('--exclusive')))
  t.is(asked[0]?.input, submission.script)

  const open = scripted([])
  const claim = { file: '/home/ada/.hutch-eabc.key', text: '{"secret":1}' }
  await clusterWith(gridEngine, open.run).submit(ada, { ...submission, claim }, signal)
  t.is(open.asked.length, 3)
  t.false(open.asked.some(({ argv }) => argv.join(' ').includes('secret')))
  t.deepEqual(open.asked[0]?.argv.slice(2), ['/usr/bin/install', '-m', '600', '/dev/null', claim.file])
  t.is(open.asked[1]?.input, '{"secret":1}\n')
})

test('what a command says when it fails: no for good in words, or nobody knows', async (t) => {
  const rows: [typeof slurm, string, RegExp | undefined][] = [
    [slurm, 'sbatch: error: Batch job submission failed: Invalid partition name specified', /There is no partition/],
    [slurm, 'sbatch: error: Batch job submission failed: Invalid user id', /does not know you/],
    [slurm, 'sbatch: error: Batch job submission failed: Unable to contact slurm controller', undefined],
    [slurm, 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation', undefined],
    [
      gridEngine,
      'Unable to run job: Job was rejected because job requests unknown queue "x".',
      /There is no partition/,
    ],
    [gridEngine, 'Unable to run job: job rejected: too many jobs', /Grid Engine refused it.*too many/],
    [gridEngine, 'error: commlib error: got select error (Connection refused)', undefined],
  ]
  for (const [template, said, words] of rows) {
    const cluster = clusterWith(template, scripted([{ code: 1, said, output: Buffer.alloc(0) }]).run)
    const error = await t.throwsAsync(cluster.submit(ada, submission, signal))
    const refusal = error instanceof ClusterRefused ? refusalOf(error, {}, template.title) : undefined
    if (words === undefined) t.is(refusal, undefined, said)
    else t.regex(refusal?.message ?? '', words)
  }
  const gone = clusterWith(gridEngine, scripted([{ code: 1, said: 'denied: job "8" does not exist' }]).run)
  await t.notThrowsAsync(gone.cancel(ada, 8, signal))
  const down = clusterWith(gridEngine, scripted([{ code: 1, said: 'error: commlib error' }]).run)
  await t.throwsAsync(down.cancel(ada, 8, signal))
})

test("what SLURM's commands tell of limits is what slurmrestd tells of them; other columns are an error", async (t) => {
  const said = [
    'root|||normal||||\nbeamtime||root|normal||9||\nbeamtime|ada||normal,two|gres/gpu=1|||1-01:30:00\n',
    'normal||||\ntwo|cpu=8,mem=4G|2|90\n'.replace('normal||||', 'normal|||'),
  ]
  const { asked, run } = scripted(said.map((text) => ({ output: Buffer.from(text) })))
  const limits = await clusterWith(slurm, run).limits?.(signal)
  t.deepEqual(
    asked.map(({ argv }) => argv[0]),
    ['/opt/bin/sacctmgr', '/opt/bin/sacctmgr'],
    "the hub's own account looks",
  )
  t.deepEqual(limits?.associations[2], {
    account: 'beamtime',
    user: 'ada',
    parent: '',
    qos: ['normal', 'two'],
    total: { 'gres/gpu': 1 },
    jobs: undefined,
    minutesPerJob: 25 * 60 + 30,
  })
  t.is(limits?.associations[1]?.jobs, 9)
  t.deepEqual(limits?.qos, [
    { name: 'normal', perUser: {}, jobsPerUser: undefined, minutesPerJob: undefined },
    { name: 'two', perUser: { cpu: 8, mem: 4_096 }, jobsPerUser: 2, minutesPerJob: 90 },
  ])
  const other = clusterWith(slurm, scripted([{ output: Buffer.from('a|b\n') }]).run)
  await t.throwsAsync(async () => await other.limits?.(signal), { message: /8 columns/ })
  t.false('limits' in clusterWith(gridEngine, run))
})

test('a configuration that is wrong says where', (t) => {
  const rows: [object, RegExp][] = [
    [{ system: 'slurm', template: { submit: ['sbatch', '{nothing}'] } }, /there is no \{nothing\} here/],
    [{ system: 'slurm', template: { submit: ['{user}'] } }, /must begin with a program/],
    [{ system: 'slurm', template: { jobId: '(' } }, /regular expression/],
    [{ system: 'other' }, /title/],
    [
      {
        system: 'slurm',
        template: { listed: { ...slurm.listed, fields: { ...slurm.listed.fields, start: undefined } } },
      },
      /must have a field start/,
    ],
    [{ system: 'gridengine', extend: true }, /no command for it/],
    [{ system: 'slurm', launcher: { by: 'command', argv: ['sudo'] } }, /\{user\}/],
    [{ system: 'slurm', launcher: { by: 'command', argv: ['x', '{user}', '{job}'] } }, /nothing else/],
  ]
  for (const [part, words] of rows) {
    const read = configSchema.safeParse({ launcher, agentFolder: '/shared/agent', ...part })
    t.regex(JSON.stringify(read.error?.issues.map(({ path, message }) => [path, message]) ?? 'it was taken'), words)
  }
})

test('the templates that are examples ask and read as their systems are known to', async (t) => {
  const folder = new URL('../../config/batch/', import.meta.url)
  const files = (await readdir(folder)).filter((name) => name.endsWith('.yaml'))
  t.deepEqual(files.toSorted(), ['htcondor.yaml', 'lsf.yaml', 'pbs.yaml'])
  for (const file of files) {
    const { spawners } = parse(await readFile(new URL(file, folder), 'utf8')) as { spawners: { cluster: object } }
    const { type, ...part } = spawners.cluster as { type: string }
    t.is(type, 'batch')
    const template = templateOf(configSchema.parse(part))
    const { line, listed, wanted } = documented[file] ?? { line: '', listed: '', wanted: [] }
    const asked = { ...submission, partition: 'long', account: 'beamtime', gpus: 1 }
    t.is(clusterWith(template, scripted([]).run).lineOf(asked), line)
    const seen = readJobs(listed, template.listed, listing).map((job) => observationOf(job, undefined, template.title))
    t.is(seen.length, wanted.length, file)
    for (const [index, like] of wanted.entries()) t.like(seen[index], like, `${file}, row ${index}`)
  }
})

/** Commands and rows as we know these systems to have them, for none of them could be had. */
const documented: Readonly<Record<string, { line: string; listed: string; wanted: readonly object[] }>> = {
  'lsf.yaml': {
    line: "/opt/bin/bsub -J hutch-h-eabc-00 -Jd 'hutch YWRh 00 11' -cwd /home/ada -o /log/ada-eabc -n 4 -R 'span[hosts=1]' -M 100MB -W 30 -gpu num=1 -q long -P beamtime -rn",
    listed: JSON.stringify({
      COMMAND: 'bjobs',
      JOBS: 5,
      RECORDS: [
        { STAT: 'PEND', PEND_REASON: 'Job slot limit reached;', START_TIME: '', FIRST_HOST: '' },
        { STAT: 'RUN', START_TIME: 'Nov 21 17:59', FIRST_HOST: 'hostA' },
        { STAT: 'RUN', START_TIME: 'Dec 31 23:59 L', FIRST_HOST: 'hostA' },
        { STAT: 'EXIT', EXIT_CODE: '140', EXIT_REASON: 'TERM_RUNLIMIT: job killed after reaching LSF run time limit' },
        { STAT: 'EXIT', EXIT_CODE: '3', EXIT_REASON: '' },
      ].map((row, index) => ({ JOBID: String(101 + index), JOB_NAME: 'hutch-h-eabc-00', USER: 'ada', ...row })),
    }),
    wanted: [
      { phase: 'pending', message: 'It is in the queue.' },
      { phase: 'running', hosts: ['hostA'], startedAt: new Date('2026-11-21T17:59:00Z') },
      { phase: 'running', startedAt: new Date('2026-12-31T23:59:00Z') },
      { phase: 'ended', reason: 'timeLimit' },
      { phase: 'ended', reason: 'failed', exitCode: 3 },
    ],
  },
  'pbs.yaml': {
    line: "/opt/bin/qsub -C '#no-directives' -N hutch-h-eabc-00 -S /bin/bash -j oe -o /log/ada-eabc -r n -l select=1:ncpus=4:mem=100mb -l walltime=1800 -q long -A beamtime",
    listed: JSON.stringify({
      timestamp: 1_795_284_000,
      pbs_server: 'head',
      Jobs: Object.fromEntries(
        [
          { job_state: 'Q', comment: 'Not Running: Insufficient amount of resource: ncpus' },
          { job_state: 'R', exec_host: 'node7/0*4', stime: 'Sat Nov 21 17:59:30 2026' },
          { job_state: 'F', Exit_status: 0, stime: 'Sat Nov 21 17:00:00 2026' },
          { job_state: 'F', Exit_status: -29 },
          { job_state: 'F', Exit_status: 271 },
          { job_state: 'F', Exit_status: 3 },
        ].map((row, index) => [
          `${12 + index}.head`,
          { Job_Name: 'hutch-h-eabc-00', Job_Owner: 'ada@login', queue: 'long', ...row },
        ]),
      ),
    }),
    wanted: [
      { phase: 'pending', message: 'It is in the queue.' },
      { phase: 'running', hosts: ['node7'], startedAt: new Date('2026-11-21T17:59:30Z') },
      { phase: 'ended', reason: 'completed' },
      { phase: 'ended', reason: 'timeLimit' },
      { phase: 'ended', reason: 'cancelled' },
      { phase: 'ended', reason: 'failed', exitCode: 3 },
    ],
  },
  'htcondor.yaml': {
    line: "/usr/local/bin/hutch-condor-submit --name=hutch-h-eabc-00 '--description=hutch YWRh 00 11' --directory=/home/ada --output=/log/ada-eabc --cpus=4 --memory=100 --gpus=1 --minutes=30 --accounting-group=beamtime --pool=long",
    listed: JSON.stringify(
      [
        { JobStatus: 1 },
        { JobStatus: 2, RemoteHost: 'slot1_1@node7', JobCurrentStartDate: 1_795_283_970 },
        { JobStatus: 5, HoldReason: 'The job attribute PeriodicHold expression evaluated to TRUE' },
        { JobStatus: 6, RemoteHost: 'slot1_1@node7' },
        { JobStatus: 4, ExitCode: 0 },
        { JobStatus: 3 },
      ].map((row, index) => ({ ClusterId: 12 + index, JobBatchName: 'hutch-h-eabc-00', Owner: 'ada', ...row })),
    ),
    wanted: [
      { phase: 'pending' },
      { phase: 'running', hosts: ['node7'], startedAt: new Date(1_795_283_970_000) },
      { phase: 'pending', message: 'HTCondor holds it. Stop it, and ask your administrator.' },
      { phase: 'stopping' },
      { phase: 'ended', reason: 'completed' },
      { phase: 'ended', reason: 'cancelled' },
    ],
  },
}
