import test from 'ava'
import { createPublicKey, createVerify, generateKeyPairSync } from 'node:crypto'
import { jwtVerify } from 'jose'
import { assert as holds, property, string, stringMatching } from 'fast-check'
import type { Association, ClusterJob, Qos } from '../../spawners/slurm/cluster.ts'
import { ClusterRefused } from '../../spawners/slurm/cluster.ts'
import { configSchema, profileSchema } from '../../spawners/slurm/config.ts'
import { digestJobs } from '../../spawners/slurm/digest.ts'
import { mint, refusalOf as mintRefusal, type Rules } from '../../spawners/slurm/minter/rules.ts'
import { limitsFor, readTres } from '../../spawners/slurm/limits.ts'
import { createNames } from '../../spawners/slurm/names.ts'
import { createObserver } from '../../spawners/slurm/observe.ts'
import { createQueue } from '../../spawners/slurm/queue.ts'
import { waitingWords } from '../../spawners/slurm/reasons.ts'
import { refusalOf } from '../../spawners/slurm/refusals.ts'
import { submittedOf } from '../../spawners/slurm/rest/answers.ts'
import { readJobs as read38 } from '../../spawners/slurm/rest/v0_0_38/read.ts'
import { readJobs as read42 } from '../../spawners/slurm/rest/v0_0_42/read.ts'
import { observationOf } from '../../spawners/slurm/states.ts'
import { sbatchLine, submissionOf } from '../../spawners/slurm/submission.ts'
import type { SlurmTools } from '../../spawners/slurm/tools.ts'
import { LaunchRefused, type EnvironmentId, type Observation } from '../../spawners/spawner.ts'
import { contractSpec, spawnerContext } from '../support/spawnerSubject.ts'

const id = 'eabc' as EnvironmentId
const names = createNames('h', Buffer.alloc(32, 1))
const config = configSchema.parse({
  endpoint: 'http://127.0.0.1:6820',
  tokens: '/run/minter/s',
  observer: 'hutch',
  agentFolder: '/shared/agent',
})

function job(part: Partial<ClusterJob> = {}): ClusterJob {
  return {
    jobId: 7,
    name: names.nameOf(id, 12_001),
    user: 'alice',
    uid: 12_001,
    comment: '',
    state: 'PENDING',
    reason: 'None',
    description: '',
    partition: 'main',
    batchHost: '',
    startAt: undefined,
    endAt: undefined,
    exit: undefined,
    priority: 1,
    ...part,
  }
}

test('a name is read by the hub that sealed it, for the user that it was sealed for, and by nobody else', (t) => {
  const name = names.nameOf(id, 12_001)
  t.is(names.read(name, 12_001), id)
  const others: [string, string | undefined][] = [
    ["another user's job with the same name", names.read(name, 12_002)],
    ['another secret', createNames('h', Buffer.alloc(32, 2)).read(name, 12_001)],
    ['another hub', createNames('h-2', Buffer.alloc(32, 1)).read(name, 12_001)],
    [
      'a hub whose name begins so',
      createNames('h', Buffer.alloc(32, 1)).read(createNames('h-x', Buffer.alloc(32, 1)).nameOf(id, 1), 1),
    ],
    ['another environment', names.read(name.replace('eabc', 'eabd'), 12_001)],
    ['no seal', names.read('hutch-h-eabc', 12_001)],
    ['something after it', names.read(`${name}-x`, 12_001)],
  ]
  for (const [title, read] of others) t.is(read, undefined, title)
})

test('what a job keeps of its owner comes back, and nothing that somebody wrote over it', (t) => {
  holds(
    property(string(), stringMatching(/^[0-9a-f]{0,64}$/), (owner, digest) => {
      if (!owner.isWellFormed()) return
      const comment = names.commentOf(id, { owner, digest })
      t.deepEqual(names.readComment(id, comment), { owner, digest })
      t.is(names.readComment(id, comment.replace('hutch ', 'hutch AAAA')), undefined)
      t.is(names.readComment('eother' as EnvironmentId, comment), undefined)
    }),
  )
})

test("SLURM's states are observations", (t) => {
  const startAt = new Date(1_000)
  const rows: [Partial<ClusterJob>, object][] = [
    [
      { state: 'PENDING', reason: 'Priority' },
      { phase: 'pending', stage: 'queued' },
    ],
    [{ state: 'CONFIGURING' }, { phase: 'pending', stage: 'scheduling' }],
    [
      { state: 'RUNNING', startAt, batchHost: 'n1' },
      { phase: 'running', hosts: ['10.0.0.1'], startedAt: startAt },
    ],
    [{ state: 'SUSPENDED', startAt }, { phase: 'running' }],
    [{ state: 'COMPLETING' }, { phase: 'stopping' }],
    [{ state: 'COMPLETED' }, { phase: 'ended', reason: 'completed', exitCode: 0 }],
    [
      { state: 'FAILED', exit: { code: 3, signal: 0 } },
      { phase: 'ended', reason: 'failed', exitCode: 3 },
    ],
    [
      { state: 'FAILED', exit: { code: 0, signal: 9 } },
      { phase: 'ended', reason: 'failed', exitCode: 137 },
    ],
    [{ state: 'CANCELLED' }, { phase: 'ended', reason: 'cancelled' }],
    [{ state: 'TIMEOUT' }, { phase: 'ended', reason: 'timeLimit' }],
    [{ state: 'DEADLINE' }, { phase: 'ended', reason: 'timeLimit' }],
    [{ state: 'OUT_OF_MEMORY' }, { phase: 'ended', reason: 'outOfMemory' }],
    [{ state: 'NODE_FAIL' }, { phase: 'ended', reason: 'nodeLost' }],
    [{ state: 'BOOT_FAIL' }, { phase: 'ended', reason: 'nodeLost' }],
    [{ state: 'PREEMPTED' }, { phase: 'ended', reason: 'preempted' }],
    [{ state: 'SOMETHING_NEW' }, { phase: 'unknown' }],
  ]
  for (const [part, expected] of rows) t.like(observationOf(job(part), '10.0.0.1'), expected, part.state)
})

test('each reason for waiting is a sentence that says what to do or to expect', (t) => {
  const rows: [string, RegExp][] = [
    ['Resources', /busy/],
    ['Priority', /before it/],
    ['BeginTime', /soon/],
    ['PartitionTimeLimit', /Choose less time/],
    ['QOSMaxCpuPerUserLimit', /You use as much as you may at once \(CPUs\)/],
    ['QOSMaxJobsPerUserLimit', /You use as much as you may at once \(jobs\)/],
    ['AssocGrpCpuLimit', /Your account uses as much as it may \(CPUs\)/],
    ['AssocGrpGRES', /Your account uses as much as it may \(GPUs\)/],
    ['QOSMaxWallDurationPerJobLimit', /A single job .*\(time\).*smaller/],
    ['JobHeldAdmin', /on hold/],
    ['ReqNodeNotAvail, UnavailableNodes:n1', /maintenance/],
    ['Reservation', /reservation/],
    ['SomethingNew', /SLURM says: SomethingNew/],
    ['constructor', /SLURM says: constructor/],
  ]
  for (const [reason, expected] of rows) t.regex(waitingWords(reason, { partition: 'main' }), expected, reason)
})

test("SLURM's refusals say what to do; trouble on the way is tried again", (t) => {
  const rows: [number, RegExp | undefined][] = [
    [2_000, /no partition fast/],
    [2_014, /smaller size/],
    [2_045, /account mine/],
    [2_050, /stop another job/],
    [2_066, /quality of service gold/],
    [2_999, /refused it: why/],
    [-1, undefined],
    [5_005, undefined],
    [1_007, undefined],
    [2_019, undefined],
    [2_105, undefined],
  ]
  for (const [number, expected] of rows) {
    const asked = { partition: 'fast', account: 'mine', qos: 'gold' }
    const refused = refusalOf(new ClusterRefused(number, 'why'), asked)
    if (expected === undefined) t.is(refused, undefined, String(number))
    else t.regex(refused?.message ?? '', expected, String(number))
  }
})

test('where SLURM gives a number there is a job that waits, unless it would wait for ever: that one is ended', async (t) => {
  const rows: [string, object, number | number[]][] = [
    ['nothing is wrong', { job_id: 7, errors: [] }, 7],
    ['its machines are down', { job_id: 7, errors: [{ error_code: 2_068 }] }, 7],
    ['its reservation begins later', { job_id: 7, errors: [{ error_code: 2_056 }] }, 7],
    ['no licence is free', { job_id: 7, errors: [{ error_code: 2_048 }] }, 7],
    ['it is on hold', { job_id: 7, errors: [{ error_code: 2_042 }] }, 7],
    ['its partition is too small', { job_id: 7, errors: [{ error_code: 2_015 }] }, [2_015, 7]],
    ['no such partition', { errors: [{ error_code: 2_000 }] }, [2_000]],
    ['a reservation of others', { job_id: 0, errors: [{ error_number: 2_052 }] }, [2_052]],
    ['slurmctld is down', { job_id: null, errors: [{ error_number: -1 }] }, [-1]],
  ]
  for (const [title, data, expected] of rows) {
    const cancelled: number[] = []
    const cancel = async (jobId: number): Promise<void> => void cancelled.push(jobId)
    const outcome = submittedOf({ data, response: new Response() }, cancel).catch((error: unknown) => {
      if (error instanceof ClusterRefused) return [error.number, ...cancelled]
      throw error
    })
    t.deepEqual(await outcome, expected, title)
  }
  const stays = async (): Promise<void> => Promise.reject(new ClusterRefused(2_002, 'no'))
  const tooSmall: object = { job_id: 7, errors: [{ error_code: 2_015 }] }
  const forEver = { data: tooSmall, response: new Response() }
  const error = await t.throwsAsync(submittedOf(forEver, stays))
  t.false(error instanceof ClusterRefused, 'it is there, so that it is not told that there is none')
  await t.throwsAsync(submittedOf({ data: {}, response: new Response() }, stays), { message: /no number/ })
})

test('a job that is requeued never looks as if it had ended, in either version', (t) => {
  // As a real one went through them, then what a failed node or an exit code may be a flag of.
  const rows: [string, string[], Observation['phase']][] = [
    ['RUNNING', ['RUNNING'], 'running'],
    ['COMPLETING', ['RUNNING', 'COMPLETING'], 'stopping'],
    ['COMPLETING', ['PENDING', 'COMPLETING'], 'stopping'],
    ['PENDING', ['PENDING'], 'pending'],
    ['COMPLETING', ['FAILED', 'COMPLETING', 'REQUEUED'], 'stopping'],
    ['COMPLETING', ['NODE_FAIL', 'COMPLETING'], 'stopping'],
    ['REQUEUED', ['FAILED', 'REQUEUED'], 'pending'],
    ['REQUEUED', ['NODE_FAIL', 'REQUEUED'], 'pending'],
    ['REQUEUE_HOLD', ['PENDING', 'REQUEUE_HOLD'], 'pending'],
    ['SPECIAL_EXIT', ['FAILED', 'REQUEUED', 'SPECIAL_EXIT'], 'pending'],
  ]
  for (const [word, words, phase] of rows) {
    const [old] = read38({ jobs: [{ job_state: word, start_time: 100, end_time: 100, exit_code: 256 }] })
    const [renewed] = read42({ jobs: [{ job_state: words }] })
    for (const seen of [old, renewed]) t.is(observationOf(seen ?? job(), undefined).phase, phase, words.join('+'))
  }
})

test("a place in the queue counts all who wait in the partition, as SLURM's scheduler goes through them", (t) => {
  const waiting = (jobId: number, part: Partial<ClusterJob>) => job({ jobId, name: 'foreign', uid: 1, ...part })
  const digest = digestJobs(
    [
      waiting(1, { priority: 5 }),
      waiting(2, { priority: 50 }),
      waiting(3, { priority: 90, partition: 'gpu' }),
      waiting(4, { priority: 90, reason: 'Dependency' }),
      waiting(5, { priority: 90, state: 'RUNNING' }),
      waiting(6, { priority: 0, reason: 'JobHeldUser' }),
      job({ jobId: 7, priority: 20 }),
      waiting(8, { priority: 20 }),
    ],
    names.prefix,
  )
  t.is(digest.total, 8)
  t.deepEqual(
    digest.jobs.map(({ jobId, position }) => [jobId, position]),
    [[7, 2]],
  )
})

test('the two versions say the same of the same job', (t) => {
  const old = read38({
    jobs: [
      {
        job_id: 7,
        name: 'x',
        user_name: 'alice',
        user_id: 12_001,
        comment: 'c',
        job_state: 'RUNNING',
        state_reason: 'None',
        state_description: '',
        partition: 'main',
        batch_host: 'n1',
        start_time: 100,
        end_time: 700,
        exit_code: 768,
        priority: 4,
      },
    ],
  })
  const number = (value: number) => ({ set: true, infinite: false, number: value })
  const exit_code = { return_code: number(3), signal: { id: number(0) } }
  const renewed = read42({
    jobs: [
      {
        job_id: 7,
        name: 'x',
        user_name: 'alice',
        user_id: 12_001,
        comment: 'c',
        job_state: ['RUNNING'],
        state_reason: 'None',
        state_description: '',
        partition: 'main',
        batch_host: 'n1',
        start_time: number(100),
        end_time: number(700),
        exit_code,
        priority: number(4),
      },
    ],
  })
  t.deepEqual(old, renewed)
  t.is(old[0]?.exit?.code, 3)
  t.is(read42({ jobs: [{ job_state: ['CANCELLED', 'COMPLETING'] }] })[0]?.state, 'COMPLETING')
  const [empty] = read38({ jobs: [{ start_time: 0, end_time: null, job_state: null }] })
  t.deepEqual([empty?.startAt, empty?.endAt, empty?.state], [undefined, undefined, ''])
})

test('a script holds what was chosen, quoted, and no more secret than its claim', (t) => {
  const spec = contractSpec('h', id, profileSchema.parse({ partition: 'gpu', prolog: ['module load jupyter'] }), {
    variables: { NAME: `it's $(id) "x" \`y\`\nz`, HOME: '/evil' },
    resources: { cpu: 1.5, memoryBytes: 2 ** 30 + 1, gpus: 2, gpuType: 'a100', walltimeMs: 90_001 },
    mounts: [{ name: 'home', source: { kind: 'host', path: '/home/alice' }, target: '/home/alice', readOnly: false }],
  })
  const submission = submissionOf({
    spec,
    config: { ...config, prolog: ['module purge'] },
    names,
    claim: '{"claim":1}',
    hasOpenScripts: false,
  })
  t.like(submission, {
    cpus: 2,
    memoryMegabytes: 1_025,
    gpus: 2,
    timeLimitMinutes: 2,
    partition: 'gpu',
    directory: '/home/alice',
  })
  t.deepEqual(Object.keys(submission.environment), ['PATH', 'HOME', 'USER'])
  const { script } = submission
  t.true(script.includes(`export NAME='it'\\''s $(id) "x" \`y\`\nz'\n`))
  t.true(script.includes(`export HOME='/home/alice'\n`) && !script.includes('/evil'))
  t.true(script.indexOf('module purge') < script.indexOf('module load jupyter'))
  t.true(script.endsWith(`exec '/shared/agent/agent' --claim - 0<<'hutch-end-of-0'\n{"claim":1}\nhutch-end-of-0\n`))
  t.regex(sbatchLine(submission), /^sbatch --job-name=hutch-h-eabc-\w+ --partition=gpu .*--gres=gpu:a100:2 --time=2 /)
  t.false(sbatchLine(submission).includes('claim'))
})

test('what can never run is refused before SLURM is asked', (t) => {
  const home = {
    name: 'home',
    source: { kind: 'host', path: '/home/alice' },
    target: '/home/alice',
    readOnly: false,
  } as const
  const nfs = {
    name: 'raw',
    source: { kind: 'nfs', server: 'files', path: '/data/raw' },
    target: '/data/raw',
    readOnly: true,
  } as const
  const account = { name: 'alice', uid: 12_001, gid: 12_001, groups: [], home: '/home/alice', shell: '/bin/sh' }
  const rows: [string, object, RegExp][] = [
    ['the superuser', { account: { ...account, uid: 0 } }, /superuser/],
    ['the system', { account: { ...account, uid: 64_030, gid: 64_030 } }, /^$/],
    ['a system uid', { account: { ...account, uid: 999 } }, /belongs to the system/],
    ['another place without a container', { mounts: [{ ...home, target: '/scratch/alice' }] }, /without a container/],
    ['an export that no node has', { mounts: [home, nfs] }, /not mounted on the nodes/],
    ['a variable with a NUL', { variables: { A: 'x\0y' } }, /NUL/],
    ['a variable that is none', { variables: { 'A;id': 'x' } }, /not a name of a variable/],
  ]
  for (const [title, part, expected] of rows) {
    const spec = contractSpec('h', id, profileSchema.parse({}), { account, mounts: [home], ...part })
    const run = () => submissionOf({ spec, config, names, claim: '{}', hasOpenScripts: false })
    if (expected.source === '^$') t.notThrows(run, title)
    else t.regex(t.throws(run, { instanceOf: LaunchRefused })?.message ?? '', expected, title)
  }
})

test('the command line of each container', (t) => {
  const spec = (container: object, gpus = 0) =>
    contractSpec('h', id, profileSchema.parse({ container }), {
      resources: { cpu: 1, memoryBytes: 2 ** 30, gpus },
      mounts: [
        { name: 'home', source: { kind: 'host', path: '/home/alice' }, target: '/home/alice', readOnly: false },
        {
          name: 'raw',
          source: { kind: 'nfs', server: 'files', path: '/data/it 42' },
          target: '/data/it 42',
          readOnly: true,
        },
      ],
    })
  const script = (container: object, gpus?: number) =>
    submissionOf({
      spec: spec(container, gpus),
      config: { ...config, nfs: { 'files:/data': '/nfs/data' } },
      names,
      claim: '{}',
      hasOpenScripts: false,
    }).script
  const apptainer = script({ type: 'apptainer', image: '/images/lab.sif' }, 1)
  t.true(
    apptainer.includes(
      `exec 'apptainer' 'exec' '--contain' '--pid' '--ipc' '--nv' '--home' '/home/alice:/home/alice' '--bind' '/nfs/data/it 42:/data/it 42:ro' '--bind' '/shared/agent:/mnt:ro' '--pwd' '/home/alice' '/images/lab.sif' '/mnt/agent' '--claim' '-' 0<<`,
    ),
    apptainer,
  )
  const charliecloud = script({ type: 'charliecloud', image: '/images/lab' })
  t.true(
    charliecloud.includes(
      `'--bind=/nfs/data/it 42:/data/it 42' '--bind=/shared/agent:/mnt' '--cd=/home/alice' '/images/lab' '--' '/mnt/agent'`,
    ),
    charliecloud,
  )
  const bubblewrap = script({ type: 'bubblewrap', image: '/images/lab' })
  t.true(bubblewrap.includes(`hutch+=(--ro-bind '/nfs/data/it 42' '/data/it 42')`), bubblewrap)
  t.true(bubblewrap.includes('alice:x:12001:12001::/home/alice:/bin/sh\n'))
})

const rules: Rules = { minimumUid: 1_000, never: ['root', 'slurm'], also: ['hutch'] }

test('the minter refuses whoever must not be anybody in SLURM', (t) => {
  const rows: [string, Parameters<typeof mintRefusal>[0], Parameters<typeof mintRefusal>[1], RegExp | undefined][] = [
    ['a scientist', { user: 'ada', uid: 1_001 }, { name: 'ada', uid: 1_001 }, undefined],
    ['the hub itself', { user: 'hutch' }, { name: 'hutch', uid: 990 }, undefined],
    ['root', { user: 'root', uid: 0 }, { name: 'root', uid: 0 }, /runs SLURM/],
    ['root by another name', { user: 'toor', uid: 0 }, { name: 'toor', uid: 0 }, /superuser/],
    ['SlurmUser', { user: 'slurm', uid: 64_030 }, { name: 'slurm', uid: 64_030 }, /runs SLURM/],
    ['the system', { user: 'daemon', uid: 1 }, { name: 'daemon', uid: 1 }, /belongs to the system/],
    ['nobody', { user: 'nobody', uid: 65_534 }, { name: 'nobody', uid: 65_534 }, /nobody/],
    ['no account here', { user: 'eve', uid: 1_002 }, undefined, /no such account/],
    ['another uid', { user: 'ada', uid: 1_002 }, { name: 'ada', uid: 1_001 }, /uid 1001 here/],
    ['found by its number', { user: '1001', uid: 1_001 }, { name: 'ada', uid: 1_001 }, /called ada/],
    ['no uid', { user: 'ada' }, { name: 'ada', uid: 1_001 }, /was not told/],
    ['an option', { user: '-s', uid: 1 }, undefined, /not a name/],
  ]
  for (const [title, asked, found, expected] of rows) {
    const why = mintRefusal(asked, found, rules)
    if (expected === undefined) t.is(why, undefined, title)
    else t.regex(why ?? 'it was minted', expected, title)
  }
})

test('tokens are what SLURM reads: by a shared key and by a public one', async (t) => {
  const now = new Date()
  const secret = Buffer.alloc(32, 5)
  const shared = mint({ algorithm: 'HS256', secret }, 'ada', now, 600)
  const { payload } = await jwtVerify(shared, secret, { algorithms: ['HS256'] })
  const iat = Math.floor(now.getTime() / 1_000)
  t.deepEqual(payload, { iat, exp: iat + 600, sun: 'ada' })
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 })
  const signed = mint({ algorithm: 'RS256', key: privateKey, kid: 'k1' }, 'ada', now, 600)
  const [header = '', body = '', signature = ''] = signed.split('.')
  t.deepEqual(JSON.parse(Buffer.from(header, 'base64url').toString()), { alg: 'RS256', typ: 'JWT', kid: 'k1' })
  const verify = createVerify('sha256').update(`${header}.${body}`)
  t.true(verify.verify(createPublicKey(privateKey), signature, 'base64url'))
})

test('looks are spaced by the interval and by ten times what one takes, shared, and waited for by whoever asks', async (t) => {
  let clock = 100_000
  let tookMs = 0
  const begun: number[] = []
  const queue = createQueue({
    intervalMs: 60,
    now: () => new Date(clock),
    look: async () => {
      begun.push(clock)
      clock += tookMs
      return { jobs: [], total: 0, usage: [] }
    },
  })
  const signal = AbortSignal.timeout(10_000)
  await Promise.all([queue.fresh(signal), queue.fresh(signal)])
  t.is(begun.length, 1, 'two who ask at once share one')
  t.is(queue.notBefore(), 100_060)
  t.is(queue.welcomeAt(), 100_720, 'while nothing is there nobody needs one so soon')
  queue.submitted()
  t.is(queue.welcomeAt(), 100_060, 'a submit puts nothing off that has to wait anyway')
  clock = 100_060
  tookMs = 50
  await queue.fresh(signal)
  t.is(queue.notBefore(), 100_060 + 500)
  queue.removed()
  t.is(queue.welcomeAt(), 100_060 + 500)
  clock = 100_700
  t.is(queue.welcomeAt(), 100_560, 'a removal is looked for at once')
  tookMs = 0
  await queue.fresh(signal)
  clock = 100_900
  queue.submitted()
  t.is(queue.welcomeAt(), 100_954, 'however long ago the last look was, the job gets a moment to say that it runs')
  clock = 100_910
  queue.submitted()
  t.is(queue.welcomeAt(), 100_954, 'and one submit after the other puts nothing off')
  queue.wake()
  t.is(queue.welcomeAt(), 100_910, 'it said so')
  await queue.fresh(signal)
  clock = 101_600
  queue.submitted()
  clock = 101_640
  t.is(queue.welcomeAt(), 101_654, 'also where a look at rest were due before: the job would wait for the one after it')
  await queue.fresh(signal)
  clock = 101_800
  t.is(queue.welcomeAt(), 102_360, 'which is over with that look')
  queue.ending()
  t.is(queue.welcomeAt(), 101_812, 'who says goodbye is over in a moment')
  await t.throwsAsync(queue.fresh(AbortSignal.abort(new Error('no'))), { message: 'no' })
  t.is(begun.length, 5)
})

test("what is left of SLURM's own limits: of one's own, of the account above, of the quality of service", (t) => {
  t.deepEqual(readTres('cpu=2,mem=1.5G,node=1,billing=2,gres/gpu=1'), {
    cpu: 2,
    mem: 1_536,
    node: 1,
    billing: 2,
    'gres/gpu': 1,
  })
  t.deepEqual(readTres(''), {})
  const none = { total: {}, jobs: undefined, minutesPerJob: undefined, qos: [] }
  const associations: Association[] = [
    { ...none, account: 'root', user: '', parent: '' },
    { ...none, account: 'science', user: '', parent: 'root', total: { cpu: 100 } },
    { ...none, account: 'beamtime', user: '', parent: 'science' },
    {
      ...none,
      account: 'beamtime',
      user: 'ada',
      parent: '',
      qos: ['two'],
      total: { 'gres/gpu': 1 },
      minutesPerJob: 60,
    },
    { ...none, account: 'other', user: 'marie', parent: '', total: { cpu: 1 } },
  ]
  const qos: Qos[] = [
    { name: 'two', perUser: { mem: 2_048 }, jobsPerUser: 2, minutesPerJob: undefined },
    { name: 'foreign', perUser: { cpu: 1 }, jobsPerUser: 1, minutesPerJob: 1 },
  ]
  const job1 = job({ state: 'RUNNING', user: 'ada', account: 'beamtime', qos: 'two', tres: 'cpu=4,mem=1G,gres/gpu=1' })
  const job2 = { ...job1, user: 'marie', qos: 'normal', tres: 'cpu=8' }
  const { usage } = digestJobs(
    [job1, job2, { ...job1, state: 'PENDING', tres: '' }, { ...job2, account: 'other' }],
    'x',
  )
  const rows = limitsFor('ada', { associations, qos }, usage).map((each) => [
    each.what,
    each.whose,
    each.used,
    each.most,
  ])
  t.deepEqual(rows, [
    ['GPUs', 'you in the account beamtime', 1, 1],
    ['Time', 'each job in the account beamtime', undefined, 3_600_000],
    ['Cores', 'all of the account science', 12, 100],
    ['Memory', 'you with the quality of service two', 2 ** 30, 2 ** 31],
    ['Jobs', 'you with the quality of service two', 1, 2],
  ])
  t.deepEqual(limitsFor('nemo', { associations, qos }, usage), [])
  t.is(limitsFor('ada', { associations, qos }, undefined)[0]?.used, undefined, 'nobody has looked yet')
})

test('how a job ended is told by the accounting of its own user, and is not told while that may be late', async (t) => {
  const name = names.nameOf(id, 12_001)
  const forged = job({ state: 'FAILED', user: 'marie', name })
  const own = job({ state: 'COMPLETED', name })
  let clock = 20_000
  let told: ClusterJob[] = [forged]
  const record = { version: 1 as const, user: 'alice', uid: 12_001, jobId: 7, submittedAt: 1_000 }
  const tools = {
    config: { ...config, accounting: true },
    context: spawnerContext({ hub: 'h', now: () => new Date(clock) }),
    cluster: { system: 'SLURM', accountingLagMs: 5_000, finished: async () => told },
    names,
    queue: { fresh: async () => ({ digest: { jobs: [], total: 0, usage: [] }, begunAt: clock }) },
    records: { all: async () => ({ jobs: [id], removed: new Set<EnvironmentId>() }), job: async () => record },
  } as unknown as SlurmTools
  const observer = createObserver(tools)
  const seen = async () => (await observer.observe(AbortSignal.timeout(10_000))).get(id)?.observation
  t.like(await seen(), { phase: 'unknown' }, 'another’s job of this name is nobody')
  told = [forged, own]
  t.like(await seen(), { phase: 'ended', reason: 'completed' })
  const later = createObserver(tools)
  told = []
  const look = async () => (await later.observe(AbortSignal.timeout(10_000))).get(id)?.observation
  t.like(await look(), { phase: 'unknown' }, 'its end may not be written down yet')
  clock += 6_000
  t.is(await look(), undefined)
})
