/** What can go wrong in a real SLURM cluster, really made: each ends in the right state and in words, nothing is lost. */
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, chown, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { createServer, connect, type AddressInfo, type Socket } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { slurmMissing, type Name } from '../clusters/slurm/cluster.ts'
import { environmentId } from '../../spawners/common/environmentId.ts'
import { runCommand, type Run } from '../../spawners/slurm/commands/run.ts'
import type { SlurmProfile } from '../../spawners/slurm/config.ts'
import {
  LaunchRefused,
  type EndReason,
  type EnvironmentId,
  type EnvironmentSpec,
  type Observation,
  type Spawner,
} from '../../spawners/spawner.ts'
import { available } from '../support/component.ts'
import { makeImage, slurmSpec, startSlurmSite, type SlurmSite } from '../support/slurmSite.ts'
import { batchConfig, openCommands } from '../support/slurmCommands.ts'
import { until as untilWithin } from '../support/until.ts'

const newId = environmentId(randomBytes)
const signal = (): AbortSignal => AbortSignal.timeout(60_000)
/** Of a machine on which much else runs. */
const patience = { timeoutMs: 150_000, everyMs: 50 }
const until: typeof untilWithin = async (what, check) => await untilWithin(what, check, patience)

interface Scene {
  readonly site: SlurmSite
  readonly spawner: Spawner<SlurmProfile>
  /** Launched, with what the fake agent does. */
  readonly launch: (name: Name, does: string, part?: Part) => Promise<EnvironmentId>
  readonly sees: (id: EnvironmentId, phase: Observation['phase'], by?: Spawner<SlurmProfile>) => Promise<Observation>
  readonly scontrol: (...words: readonly string[]) => Promise<string>
  readonly jobOf: (id: EnvironmentId) => Promise<string>
}
interface Part {
  readonly profile?: object
  readonly walltimeMs?: number
  readonly gpus?: number
  readonly gpuType?: string
}

let scene: Scene | undefined
/** Begun first and looked at last: SLURM's shortest time is a minute. */
let brief: EnvironmentId | undefined

test.before(async (t) => {
  t.timeout(180_000)
  if (slurmMissing() !== undefined) return
  const site = await startSlurmSite({ minJobAgeSeconds: 2 })
  const spawner = await site.open()
  scene = sceneOf(site, spawner)
  brief = await scene.launch('ada', 'run', { walltimeMs: 60_000 })
})
test.after.always(async (t) => {
  t.timeout(120_000)
  await scene?.spawner.close?.()
  await scene?.site.close()
})

function sceneOf(site: SlurmSite, spawner: Spawner<SlurmProfile>): Scene {
  const run = site.cluster.run
  const scontrol: Scene['scontrol'] = (...words) => run(['scontrol', ...words])
  return {
    site,
    spawner,
    scontrol,
    async launch(name, does, { profile = {}, walltimeMs = 1_800_000, ...gpu } = {}) {
      const id = newId()
      const resources = { cpu: 1, memoryBytes: 2 ** 27, gpus: 0, walltimeMs, ...gpu }
      await spawner.ensure(slurmSpec(site, name, { id, profile, resources, variables: { HUTCH_TEST: does } }), signal())
      return id
    },
    async sees(id, phase, by = spawner) {
      let last: Observation | undefined
      return await until(`${id} is ${phase}`, async () => {
        last = (await by.observe(signal())).get(id)?.observation
        return last?.phase === phase ? last : undefined
      }).catch(async (error: unknown) => {
        const [jobs, nodes] = await Promise.all([
          run(['squeue', '-h', '-t', 'all', '-l']),
          run(['sinfo', '-h', '-N', '-l']),
        ])
        throw new Error(`it is ${JSON.stringify(last)}\n${jobs}\n${nodes}`, { cause: error })
      })
    },
    async jobOf(id) {
      const lines = (await run(['squeue', '-h', '-t', 'all', '-o', '%A %j'])).split('\n')
      return lines.find((line) => line.includes(`-${id}-`))?.split(' ')[0] ?? ''
    },
  }
}

function fault(title: string, steps: (t: ExecutionContext, scene: Scene) => Promise<void>): void {
  test.serial(`SLURM: ${title}`, async (t) => {
    t.timeout(400_000)
    const missing = slurmMissing()
    if (!available(t, 'SLURM', missing === undefined, `${missing ?? ''}; see tests/setup/packages.ts`)) return
    if (scene === undefined) return t.fail('the cluster did not come up')
    await steps(t, scene)
  })
}

const yes = (): boolean => true
const no = (): boolean => false

function is(t: ExecutionContext, observation: Observation, reason: EndReason, words: RegExp): void {
  if (observation.phase !== 'ended' && observation.phase !== 'pending') return t.fail(JSON.stringify(observation))
  if (observation.phase === 'ended') t.is(observation.reason, reason)
  t.regex(observation.message, words)
}

for (const type of ['bubblewrap', 'charliecloud'] as const) {
  fault(`in ${type} it is the user, in the image, with the home`, async (t, { launch, sees, site }) => {
    const image = await makeImage(site)
    const { uid, groups, home } = site.account('ada')
    await writeFile(join(home, 'ours'), 'for the group alone\n', { mode: 0o640 })
    await chown(join(home, 'ours'), 0, groups[0]?.gid ?? 0)
    const id = await launch('ada', 'facts', { profile: { container: { type, image } } })
    const seen = await sees(id, 'ended')
    t.like(seen, { reason: 'completed' }, (await scene?.spawner.logs?.(id, signal())) ?? '')
    const facts = await readFile(join(home, 'facts'), 'utf8')
    const [name, number, ours, imageName, folder, processes, denied] = facts.split('\n')
    t.deepEqual([name, number, imageName, folder], ['ada', String(uid), 'an image of the tests', home])
    t.is(ours, 'for the group alone', 'groups are seen as nobody’s inside, and give what they give')
    if (type === 'bubblewrap') t.true(Number(processes) < 10, 'it sees its own processes alone')
    t.regex(denied ?? '', /Read-only|denied/)
  })
}

fault('an administrator cancels it', async (t, { launch, sees, jobOf, site }) => {
  const id = await launch('ada', 'run')
  await sees(id, 'running')
  await site.cluster.run(['scancel', await jobOf(id)])
  is(t, await sees(id, 'ended'), 'cancelled', /cancelled in SLURM, by you or by an administrator/)
})

fault('it takes more memory than it has', async (t, { launch, sees }) => {
  is(
    t,
    await sees(await launch('ada', 'eat'), 'ended'),
    'outOfMemory',
    /took more memory than it had, and SLURM ended it/,
  )
})

fault(
  'it waits: the partition is down, it is held, released, and runs',
  async (t, { launch, sees, scontrol, jobOf }) => {
    await scontrol('update', 'partitionname=short', 'state=down')
    const id = await launch('ada', 'run', { profile: { partition: 'short' } })
    is(t, await sees(id, 'pending'), 'failed', /partition does not run jobs now|in the queue/)
    await scontrol('hold', await jobOf(id))
    await until('it is told to be on hold', async () => {
      const seen = await sees(id, 'pending')
      return seen.phase === 'pending' && /on hold/.test(seen.message)
    })
    await scontrol('update', 'partitionname=short', 'state=up')
    await scontrol('release', await jobOf(id))
    await sees(id, 'running')
    t.pass()
  },
)

fault('it is suspended and resumed: what it was, it is', async (t, { launch, sees, scontrol, jobOf, spawner }) => {
  const id = await launch('ada', 'run')
  const before = await sees(id, 'running')
  await scontrol('suspend', await jobOf(id))
  await until('SLURM says so', async () => (await scontrol('show', 'job', await jobOf(id))).includes('SUSPENDED'))
  t.is((await spawner.observe(signal())).get(id)?.observation.phase, 'running')
  await scontrol('resume', await jobOf(id))
  const after = await sees(id, 'running')
  t.true(before.phase === 'running' && after.phase === 'running' && after.hosts[0] === '127.0.0.1')
})

fault('it is requeued: it waits again, and runs again', async (t, { launch, sees, scontrol, jobOf }) => {
  const id = await launch('ada', 'run')
  const before = await sees(id, 'running')
  const job = await jobOf(id)
  await scontrol('update', `jobid=${job}`, 'requeue=1')
  await scontrol('requeue', job)
  await sees(id, 'pending')
  // SLURM itself waits two minutes. A second it needs: a node starts nothing that was killed in the same one.
  await until('it may begin', () => scontrol('update', `jobid=${job}`, 'starttime=now+2').then(yes, no))
  const after = await sees(id, 'running')
  if (before.phase !== 'running' || after.phase !== 'running') return t.fail()
  t.true(after.startedAt > before.startedAt)
})

fault('it makes room for something more urgent', async (t, { launch, sees, spawner }) => {
  const low = await launch('ada', 'run', { profile: { partition: 'spare', exclusive: true } })
  // Whatever runs on the nodes must end first.
  await until('it runs', async () => {
    const seen = await sees(low, 'running').catch(() => undefined)
    return seen?.phase === 'running'
  })
  const high = await launch('marie', 'run', { profile: { exclusive: true } })
  is(t, await sees(low, 'ended'), 'preempted', /more urgent/)
  await spawner.remove(high, signal())
})

fault('its node fails', async (t, { launch, sees, scontrol, site }) => {
  const node = site.cluster.nodes[1] ?? ''
  const id = await launch('ada', 'run', { profile: { partition: 'gpu' } })
  await sees(id, 'running')
  // SLURM calls it running before its node has heard of it; one that dies before is no failure but another try.
  await until('it runs indeed', () => existsSync(join(site.outputFolder, `ada-${id}`)))
  await site.cluster.kill('node2')
  try {
    await scontrol('update', `nodename=${node}`, 'state=down', 'reason=test')
    is(t, await sees(id, 'ended'), 'nodeLost', /node .* failed/)
  } finally {
    // What follows needs the nodes.
    await site.cluster.start('node2')
    await until('it is back', async () => {
      await scontrol('update', `nodename=${node}`, 'state=resume').catch(() => undefined)
      return /^(idle|mix)$/m.test(await site.cluster.run(['sinfo', '-h', '-n', node, '-o', '%t']))
    })
  }
})

fault(
  'what can run later waits: no node, a reservation to come',
  async (t, { launch, sees, scontrol, site, spawner }) => {
    const { nodes } = site.cluster
    for (const node of nodes) await scontrol('update', `nodename=${node}`, 'state=drain', 'reason=test')
    const id = await launch('ada', 'run')
    try {
      // Which of its reasons SLURM gives, and when, is SLURM's: the words of each are in tests/unit/slurm.
      t.is((await sees(id, 'pending')).phase, 'pending')
    } finally {
      for (const node of nodes) await scontrol('update', `nodename=${node}`, 'state=resume')
    }
    await sees(id, 'running')
    const reservation = ['reservationname=later', 'starttime=now+1hour', 'duration=10', 'users=ada', 'nodecnt=1']
    await scontrol('create', 'reservation', ...reservation)
    const later = await launch('ada', 'run', { profile: { reservation: 'later' } })
    t.is((await sees(later, 'pending')).phase, 'pending')
    await spawner.remove(later, signal())
    await until('it is gone', () => scontrol('delete', 'reservationname=later').then(yes, no))
  },
)

fault('no such partition, a foreign account, too much, over a limit, no association', async (t, { launch, site }) => {
  const rows: [Name, object, RegExp][] = [
    ['ada', { partition: 'nowhere' }, /no partition nowhere/],
    ['marie', { account: 'beamtime' }, /may not use the account beamtime/],
    ['ada', { qos: 'gold' }, /quality of service gold/],
    ['ada', { tasks: 500 }, /smaller size/],
    ['ada', { reservation: 'none' }, /reservation none/],
    ['ada', { constraint: 'quantum' }, /feature quantum|so much/],
    ['rosalind', {}, /no account in SLURM/],
  ]
  for (const [name, profile, words] of rows) {
    const error = await t.throwsAsync(launch(name, 'run', { profile }), { instanceOf: LaunchRefused }, String(words))
    t.regex(error?.message ?? '', words)
  }
  await launch('marie', 'run', { profile: { qos: 'never' } })
  const over = await t.throwsAsync(launch('marie', 'run', { profile: { qos: 'never' } }), { instanceOf: LaunchRefused })
  t.regex(over?.message ?? '', /more than your account or quality of service allows/)
  t.is((await site.cluster.run(['squeue', '-h', '-u', 'rosalind'])).trim(), '')
})

fault('what a profile asks for SLURM gives', async (t, { launch, sees, scontrol, jobOf, site, spawner }) => {
  const now = [
    'reservationname=beamtime',
    'starttime=now',
    'duration=10',
    'users=ada',
    'nodecnt=2',
    'flags=ignore_jobs',
  ]
  await scontrol('create', 'reservation', ...now)
  const profile = {
    reservation: 'beamtime',
    account: 'research',
    qos: 'two',
    constraint: 'fast',
    licenses: 'code:1',
    nodes: 2,
    tasks: 2,
  }
  const id = await launch('ada', 'run', { profile, gpus: 1, gpuType: 'tiny' })
  try {
    await sees(id, 'running')
    const told = await scontrol('show', 'job', await jobOf(id))
    for (const each of [
      'Reservation=beamtime',
      'Account=research QOS=two',
      'Features=fast',
      'Licenses=code:1',
      'NumNodes=2 NumCPUs=2 NumTasks=2',
      'TresPerNode=gres:gpu:tiny:1',
      `UserId=ada(${site.account('ada').uid})`,
    ]) {
      t.true(told.includes(each), `${each} in ${told}`)
    }
  } finally {
    // What follows needs the nodes.
    await spawner.remove(id, signal())
    await until('it is gone', () => scontrol('delete', 'reservationname=beamtime').then(yes, no))
  }
})

fault('a home that is on no node', async (t, { launch, sees, spawner }) => {
  const id = await launch('emmy', 'run')
  is(t, await sees(id, 'ended'), 'failed', /home directory/)
  t.regex((await spawner.logs?.(id, signal())) ?? '', /home directory \S+ is not on this node/)
})

fault(
  'an output that is a link to what only the hub may read shows nothing',
  async (t, { launch, sees, spawner, site }) => {
    const id = await launch('ada', 'end 0')
    await sees(id, 'ended')
    const path = join(site.outputFolder, `ada-${id}`)
    await site.cluster.run(['rm', path])
    await symlink(site.auditFile, path)
    t.is(await spawner.logs?.(id, signal()), '')
  },
)

fault('a job of another with the same name is nobody', async (t, { launch, sees, jobOf, site, spawner }) => {
  const id = await launch('ada', 'run')
  await sees(id, 'running')
  const name = (await site.cluster.run(['squeue', '-h', '-j', await jobOf(id), '-o', '%j'])).trim()
  const forge = ['sbatch', `--job-name=${name}`, '--mem=50M', '-D', '/tmp', '-o', '/dev/null', '--wrap=sleep 100']
  await site.cluster.run(forge, 'marie')
  await spawner.remove(id, signal())
  await until('it is gone', async () => !(await spawner.observe(signal())).has(id))
  t.is((await site.cluster.run(['squeue', '-h', '-u', 'marie', '-n', name, '-o', '%T'])).trim().length > 0, true)
  await site.cluster.run(['scancel', '-u', 'marie'])
})

fault('slurmctld is down: unknown, never gone; then it is as it was', async (t, { launch, sees, site, spawner }) => {
  const id = await launch('ada', 'run')
  const before = await sees(id, 'running')
  await site.cluster.stop('slurmctld')
  const [error] = await Promise.all([
    t.throwsAsync(launch('ada', 'run')),
    t.throwsAsync(spawner.observe(signal())),
    t.throwsAsync(spawner.remove(id, signal())),
  ])
  t.false(error instanceof LaunchRefused, 'it is tried again')
  await site.cluster.start('slurmctld')
  const answers = (): Promise<boolean> => spawner.observe(signal()).then(yes, no)
  await until('it answers', answers)
  t.deepEqual(await sees(id, 'running'), before)
  // The nodes have not told slurmctld of themselves yet: what is launched now waits for them.
  await sees(await launch('ada', 'run'), 'running')
})

fault(
  'slurmdbd is down: what SLURM forgot is unknown, and told when it is back',
  async (t, { launch, sees, site, spawner }) => {
    const id = await launch('ada', 'end 0')
    await sees(id, 'ended')
    const fresh = await site.open()
    await site.cluster.stop('slurmdbd')
    const gone = async (): Promise<boolean> =>
      !(await site.cluster.run(['squeue', '-h', '-t', 'all', '-o', '%j'])).includes(id)
    await until('slurmctld forgets it', gone)
    t.is((await fresh.observe(signal())).get(id)?.observation.phase, 'unknown')
    await site.cluster.start('slurmdbd')
    const seen = await sees(id, 'ended', fresh)
    t.like(seen, { reason: 'completed' })
    await spawner.remove(id, signal())
    t.false((await fresh.observe(signal())).has(id), 'removed is removed, whatever the accounting knows')
    await fresh.close?.()
  },
)

fault(
  'slurmrestd dies in the middle of a submit: the job is found again, and is one',
  async (t, { site, sees, jobOf }) => {
    const breaking = await breakingProxy(site)
    const spawner = await site.open('tested', { endpoint: breaking.url })
    const id = newId()
    const spec = slurmSpec(site, 'ada', { id, variables: { HUTCH_TEST: 'run' } })
    await spawner.observe(signal())
    breaking.arm()
    await t.throwsAsync(spawner.ensure(spec, signal()))
    await site.cluster.start('slurmrestd')
    await until('it is accepted', () =>
      spawner.ensure(spec, signal()).then(
        () => true,
        () => false,
      ),
    )
    await sees(id, 'running', spawner)
    const names = (await site.cluster.run(['squeue', '-h', '-o', '%j'])).split('\n')
    t.is(names.filter((name) => name.includes(id)).length, 1)
    t.not(await jobOf(id), '')
    await spawner.close?.()
    breaking.close()
  },
)

fault(
  'a bad token and an expired one are 500: unknown, tried again with a new one',
  async (t, { launch, sees, site }) => {
    const id = await launch('ada', 'run')
    await sees(id, 'running')
    for (const given of ['nonsense', await site.cluster.token('hutch', -100)]) {
      let asked = 0
      const tokens = {
        of: async () => ((asked += 1) === 1 ? given : await site.cluster.token('hutch')),
        forget: () => undefined,
      }
      const spawner = await site.open('tested', {}, { tokens })
      await t.throwsAsync(spawner.observe(signal()))
      t.is((await spawner.observe(signal())).get(id)?.observation.phase, 'running')
      await spawner.close?.()
    }
  },
)

fault("the hub's clock is an hour off", async (t, { launch, sees, site }) => {
  const id = await launch('ada', 'run')
  await sees(id, 'running')
  for (const offMs of [-3_600_000, 3_600_000]) {
    const spawner = await site.open('tested', {}, { now: () => new Date(Date.now() + offMs) })
    t.is((await spawner.observe(signal())).get(id)?.observation.phase, 'running', String(offMs))
    await spawner.close?.()
  }
})

fault('a full spool, and one that takes nothing: it is tried again', async (t, { launch, site }) => {
  const { folder } = site.cluster
  const spool = join(folder, 'spool/slurmctld')
  const names = (await readdir(spool)).filter((name) => name.startsWith('hash.'))
  const folders = [spool, ...names.map((name) => join(spool, name))]
  // A file system of one page over each folder for scripts, as slurmctld alone sees them; a folder takes none, a file all.
  const pid = (await readFile(join(folder, 'run/slurm/slurmctld.pid'), 'utf8')).trim()
  const asSlurmctld = async (script: string): Promise<void> => {
    const argv = ['nsenter', '--target', pid, '--mount', 'sh', '-c', script, 'sh', ...folders.slice(1)]
    const { code, said } = await runCommand(argv, { variables: { PATH: '/usr/sbin:/usr/bin' }, signal: signal() })
    if (code !== 0) throw new Error(said)
  }
  const mount = 'mount -t tmpfs -o size=4k,mode=755,uid=$(stat -c %u "$each") full "$each"'
  await asSlurmctld(`for each; do ${mount} && head -c 4096 /dev/zero >"$each/full" || exit 1; done`)
  const full = await t.throwsAsync(launch('ada', 'run'))
  t.false(full instanceof LaunchRefused, full?.message)
  await asSlurmctld('umount "$@"')

  for (const each of folders) await chmod(each, 0o555)
  const error = await t.throwsAsync(launch('ada', 'run'))
  t.false(error instanceof LaunchRefused, error?.message)
  for (const each of folders) await chmod(each, 0o755)
  await launch('ada', 'run')
})

fault('its time is over', async (t, { sees }) => {
  if (brief === undefined) return t.fail()
  is(t, await sees(brief, 'ended'), 'timeLimit', /choose a size with more time/)
})

fault('more time: as much as the site gives, to what runs, where the hub may', async (t, { launch, sees, site }) => {
  const id = await launch('ada', 'run')
  const seen = await sees(id, 'running')
  if (seen.phase !== 'running') return t.fail()
  const inHours = (hours: number): Date => new Date(seen.startedAt.getTime() + hours * 3_600_000)
  const spawner = await site.open('tested', { extend: true, extendTo: '2h' })
  await spawner.extend?.(id, inHours(2), signal())
  const told = await sees(id, 'running', spawner)
  t.is(told.phase === 'running' && told.endsAt?.getTime(), inHours(2).getTime())
  const none = newId()
  for (const [which, hours, words] of [
    [id, 3, /2 hours in all/],
    [none, 1, /does not run/],
  ] as const) {
    const refused = await t.throwsAsync(async () => await spawner.extend?.(which, inHours(hours), signal()))
    t.true(refused instanceof LaunchRefused)
    t.regex(refused?.message ?? '', words)
  }
  await spawner.close?.()
  t.false('extend' in (await site.open()), 'off unless the site says so')
})

fault('by its commands with tokens of SLURM: no root, no sudo', async (t, { sees, site }) => {
  const { cluster, stateFolder, agentFolder, outputFolder } = site
  const become = ['setpriv', '--reuid', 'hutch', '--regid', 'hutch', '--init-groups', '--']
  const run: Run = async (argv, options) => await runCommand(cluster.view.within([...become, ...argv]), options)
  const config = batchConfig({
    system: 'slurm',
    launcher: { by: 'token', tokens: site.tokens },
    variables: { SLURM_CONF: join(cluster.folder, 'etc/slurm.conf') },
    agentFolder,
    output: join(outputFolder, '{user}-{id}'),
  })
  const place = { folder: cluster.folder, stateFolder, within: cluster.view.within }
  const spawner = await openCommands(place, config, run, 'tested')
  const specOf = (name: Name): EnvironmentSpec<SlurmProfile> =>
    slurmSpec(site, name, { id: newId(), hub: 'tested', profile: { qos: 'two' }, variables: { HUTCH_TEST: 'run' } })
  const spec = specOf('ada')
  await spawner.ensure(spec, signal())
  t.is((await sees(spec.id, 'running', spawner)).phase, 'running')
  // What it tells of limits, and of what is in use of them, is what slurmrestd tells.
  const overRest = await site.open()
  await overRest.observe(signal())
  const [told, toldOverRest] = await Promise.all(
    [spawner, overRest].map(async (each) => await each.limits?.(site.account('ada'), signal())),
  )
  t.deepEqual(told, toldOverRest)
  t.true(told?.some(({ what, most }) => what === 'GPUs' && most === 1))
  t.true(told?.some(({ whose, used = 0 }) => /quality of service two/.test(whose) && used > 0))
  await overRest.close?.()
  const jobs = await cluster.run(['squeue', '-h', '-o', '%u %j'])
  t.regex(jobs, new RegExp(`^ada hutch-tested-${spec.id}-`, 'm'))
  await spawner.remove(spec.id, signal())
  await t.throwsAsync(spawner.ensure(specOf('rosalind'), signal()), { instanceOf: LaunchRefused })
  await spawner.close?.()
})

fault('the minter wrote down whom it made tokens for', async (t, { site }) => {
  const lines = (await site.cluster.run(['cat', site.auditFile]))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { user: string; minted: boolean })
  t.true(lines.some(({ user, minted }) => user === 'ada' && minted) && lines.some(({ user }) => user === 'hutch'))
  t.false(JSON.stringify(lines).includes('eyJ'), 'and no token')
})

/** Passes bytes on; once armed, the first answer to a POST kills slurmrestd and never arrives. */
async function breakingProxy({ cluster }: SlurmSite): Promise<{ url: string; arm(): void; close(): void }> {
  let isArmed = false
  const open = new Set<Socket>()
  const server = createServer((client) => {
    const { hostname, port } = new URL(cluster.restUrl)
    const upstream = connect({ host: hostname, port: Number(port) })
    let isPost = false
    for (const socket of [client, upstream]) {
      open.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        client.destroy()
        upstream.destroy()
        open.delete(socket)
      })
    }
    client.on('data', (data: Buffer) => {
      if (data.toString('latin1').startsWith('POST ')) isPost = true
      upstream.write(data)
    })
    upstream.on('data', (data: Buffer) => {
      if (!isArmed || !isPost) return void client.write(data)
      isArmed = false
      void cluster.kill('slurmrestd').then(() => client.destroy())
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    arm: () => void (isArmed = true),
    close: () => {
      server.close()
      for (const socket of open) socket.destroy()
    },
  }
}
