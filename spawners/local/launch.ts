/** Makes an environment exist, once, however often and from wherever it is asked, and wherever that is cut off. */
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { groupFile, passwdFile } from '../common/accountFiles.ts'
import { environmentId } from '../common/environmentId.ts'
import type { EnvironmentSpec } from '../spawner.ts'
import { groupPlan, makeGroups } from './cgroups.ts'
import type { LocalProfile } from './config.ts'
import { startKeeper } from './keeper.ts'
import { look } from './look.ts'
import { planLaunch, type LaunchPlan, type LaunchTools } from './plan.ts'
import { processInfo, readBootId, readOomKills } from './processes.ts'
import { claim, readLatest, type LocalRecord } from './record.ts'

type Spec = EnvironmentSpec<LocalProfile>

/** For the keeper to say that it has begun, or for another's attempt to come to something. */
const patienceMs = 30_000

export async function launch(tools: LaunchTools, spec: Spec, signal: AbortSignal): Promise<void> {
  const { stateFolder } = tools.context
  const patience = AbortSignal.any([signal, AbortSignal.timeout(patienceMs)])
  let plan: LaunchPlan | undefined
  for (;;) {
    patience.throwIfAborted()
    const latest = await readLatest(stateFolder, spec.id)
    if (latest.is === 'broken') throw new Error(`${spec.id}: ${latest.message}`)
    const state = latest.is === 'there' ? await stateOf(stateFolder, latest.record) : 'nothing'
    if (state === 'exists') return
    if (state === 'waiting') {
      await sleep(20, undefined, { signal: patience })
      continue
    }
    plan ??= await planLaunch(tools, spec)
    if (await attempt(tools, spec, plan, latest.is === 'there' ? latest.number + 1 : 1, patience)) return
  }
}

/** `exists` also when it has ended: that is never launched again. `nothing`: the attempt was cut off. */
async function stateOf(stateFolder: string, record: LocalRecord): Promise<'exists' | 'waiting' | 'nothing'> {
  const facts = await look(stateFolder, record, { bootId: await readBootId(), oomKills: 0 })
  if (facts.marker.is !== 'waiting' || facts.stopping) return 'exists'
  return facts.keeperLives ? 'waiting' : 'nothing'
}

/**
 * The keeper waits while the record is written, and is released after that: a hub that is killed in between leaves
 * at most a record whose keeper is dead and never began. False: somebody else's attempt was first, so look again.
 */
async function attempt(
  tools: LaunchTools,
  spec: Spec,
  plan: LaunchPlan,
  number: number,
  signal: AbortSignal,
): Promise<boolean> {
  const { context } = tools
  const run = environmentId(randomBytes)()
  const folder = join(context.stateFolder, spec.id, run)
  let isClaimed = false
  await mkdir(folder, { recursive: true, mode: 0o700 })
  try {
    const cgroups = await prepareGroups(tools, spec)
    const port = plan.needsPort ? await freePort() : undefined
    await writeFiles(folder, spec, plan, cgroups, port)
    if (spec.tickets === true) await tools.tickets.write(spec.id, spec.account, await ticketsOf(tools, spec, signal))
    const bootstrap = context.bootstrap(spec)
    const keeper = await startKeeper(folder, { mode: plan.mode, cgroups, command: plan.command(folder, port ?? 0) })
    try {
      const { stopTimeoutMs } = bootstrap
      const made = { run, cgroups, stopTimeoutMs, mode: plan.mode, pid: keeper.pid, port }
      const record = await makeRecord(tools, spec, made)
      isClaimed = await claim(context.stateFolder, record, number)
      if (!isClaimed) return false
      signal.throwIfAborted()
      keeper.release(plan.line(bootstrap))
      await keeper.started(signal)
      return true
    } finally {
      keeper.letGo()
    }
  } finally {
    if (!isClaimed) await rm(folder, { recursive: true, force: true })
  }
}

async function ticketsOf({ context }: LaunchTools, spec: Spec, signal: AbortSignal): Promise<Buffer> {
  if (context.tickets === undefined) throw new Error(`a bug: ${spec.id} wants tickets, and nothing supplies any`)
  return await context.tickets(spec, signal)
}

async function prepareGroups({ machine, config, context }: LaunchTools, spec: Spec): Promise<readonly string[]> {
  if (!machine.cgroups) return []
  const { version, root } = machine.cgroups
  const plan = groupPlan(version, root, config.cgroup ?? `hutch-${context.hub}`, spec.id, spec.resources)
  await makeGroups(plan)
  return plan.own
}

/** What the environment sees of these may be read by the account; the folder above is the hub's alone. */
async function writeFiles(
  folder: string,
  spec: Spec,
  plan: LaunchPlan,
  cgroups: readonly string[],
  port: number | undefined,
): Promise<void> {
  const seen = { mode: 0o644 }
  await writeFile(join(folder, 'start.sh'), plan.startScript(folder, port ?? 0), seen)
  const sandbox = plan.sandbox(folder, cgroups)
  if (sandbox) {
    await writeFile(join(folder, 'passwd'), passwdFile(await readFile('/etc/passwd', 'utf8'), spec.account), seen)
    await writeFile(join(folder, 'group'), groupFile(await readFile('/etc/group', 'utf8'), spec.account), seen)
    await writeFile(join(folder, 'sandbox'), sandbox.map((argument) => `${argument}\0`).join(''), { mode: 0o600 })
  }
  const links = Object.entries(plan.links)
  if (links.length > 0) await mkdir(join(folder, 'mounts'), { mode: 0o700 })
  for (const [name, target] of links) await symlink(target, join(folder, 'mounts', name))
}

async function makeRecord(
  { context }: LaunchTools,
  spec: Spec,
  made: {
    run: string
    cgroups: readonly string[]
    stopTimeoutMs: number
    mode: LaunchPlan['mode']
    pid: number
    port: number | undefined
  },
): Promise<LocalRecord> {
  const info = await processInfo(made.pid)
  if (!info || info.isZombie) throw new Error(`the keeper of ${spec.id} ended before it began`)
  const { walltimeMs } = spec.resources
  return {
    version: 1,
    id: spec.id,
    hub: context.hub,
    owner: spec.owner,
    digest: spec.digest,
    run: made.run,
    keeper: { pid: made.pid, startTime: info.startTime, bootId: await readBootId() },
    sandboxed: made.mode === 'sandboxed',
    cgroups: [...made.cgroups],
    stopTimeoutMs: made.stopTimeoutMs,
    ...(walltimeMs !== undefined && { walltimeMs }),
    ...(made.port !== undefined && { port: made.port }),
    oomKills: await readOomKills(),
  }
}

/**
 * Free a moment ago. Whoever takes it in between makes the start fail: the application then ends and says so. It can't
 * pass for the application: what it would be sent is for somebody who proves to be the user (OAuth).
 */
async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('there is no free port')
  return address.port
}
