/** The spawner: environments as jobs of their users, on whatever way there is to the cluster. */
import { createHmac, randomBytes } from 'node:crypto'
import type { BackendLimit, EnvironmentId, EnvironmentSpec, Spawner, SpawnerContext } from '../spawner.ts'
import { environmentId } from '../common/environmentId.ts'
import { createAccounting } from './accounting.ts'
import type { Cluster } from './cluster.ts'
import type { JobsConfig, SlurmProfile } from './config.ts'
import { createDigester } from './digester.ts'
import { extend } from './extend.ts'
import { launch } from './launch.ts'
import { limitsFor } from './limits.ts'
import { createNames } from './names.ts'
import { createObserver } from './observe.ts'
import { jobsOf } from './ours.ts'
import { readOutput } from './output.ts'
import { createQueue } from './queue.ts'
import { createRecords } from './records.ts'
import { hasEnded } from './states.ts'
import { outputOf, submissionOf } from './submission.ts'
import { callTimeoutMs, type SlurmTools } from './tools.ts'

const mostLogBytes = 64 * 1_024
/** A look within this time says that the cluster is well: nobody needs to ask it. */
const healthyMs = 60_000

export function createSlurm(config: JobsConfig, context: SpawnerContext, cluster: Cluster): Spawner<SlurmProfile> {
  const names = createNames(context.hub, context.secret('names'))
  const digester = createDigester(names.prefix)
  const queue = createQueue({ intervalMs: config.interval, look, now: context.now })
  const records = createRecords(context.stateFolder, () => environmentId(randomBytes)())
  const tools: SlurmTools = { config, context, cluster, names, queue, records }
  const observer = createObserver(tools)
  const accounting = createAccounting(cluster, context.now)
  const claimKeys = context.secret('claims')
  const claimKey = (id: EnvironmentId): Buffer => createHmac('sha256', claimKeys).update(id).digest()

  async function look(signal: AbortSignal): ReturnType<typeof digester.digest> {
    const digest = await digester.digest(await cluster.list(signal))
    return (await cluster.complete?.(digest, signal)) ?? digest
  }

  function bootstrap(spec: EnvironmentSpec): ReturnType<SpawnerContext['bootstrap']> {
    const { ports } = config
    return {
      ...context.bootstrap(spec),
      listen: { host: '0.0.0.0', ...(ports === undefined ? {} : { ports }) },
      // The job's script is kept: its secrets come with the bootstrap.
      ...(spec.protocol === 'jupyterhub' ? { plain: { variables: { ...context.secretVariables?.(spec) } } } : {}),
    }
  }

  return {
    heedsBeneath: true,
    async ensure(spec, signal) {
      signal.throwIfAborted()
      const { report } = context.bootstrap(spec)
      const claim = { version: 1, id: spec.id, key: claimKey(spec.id).toString('base64url'), report }
      await launch(tools, spec, JSON.stringify(claim), signal)
    },
    observe: (signal) => observer.observe(signal),
    remove: (id, signal) => remove(tools, id, signal),
    ...(config.output === undefined
      ? {}
      : {
          async logs(id: EnvironmentId, signal: AbortSignal): Promise<string> {
            signal.throwIfAborted()
            const record = await records.job(id)
            if (record === undefined) return ''
            const account = { name: record.user, home: '' }
            return await readOutput(outputOf({ id, account }, config), record.uid, mostLogBytes)
          },
        }),
    ...(config.extend ? { extend: (id, endsAt, signal) => extend(tools, id, endsAt, signal) } : {}),
    async watch(changed, signal) {
      const unfollow = queue.follow((now, before) => {
        for (const id of changesOf(tools, now, before)) changed(id)
      })
      if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
      unfollow()
    },
    async check(signal) {
      const latest = queue.latest()
      if (latest !== undefined && context.now().getTime() - latest.begunAt < healthyMs) {
        return { ok: true, message: 'The cluster answers.' }
      }
      return await cluster.ping(signal)
    },
    describe(spec) {
      const asked = submissionOf({ spec, config, names, claim: '{}', hasOpenScripts: cluster.hasOpenScripts })
      return [
        { title: `Its job in ${cluster.system}`, text: asked.name },
        { title: 'The same by hand', text: cluster.lineOf(asked) },
      ]
    },
    ...(cluster.limits === undefined || !config.accounting
      ? {}
      : {
          async limits({ name }, signal): Promise<readonly BackendLimit[]> {
            return limitsFor(name, await accounting.of(signal), queue.latest()?.digest.usage)
          },
        }),
    observeNotBefore: () => queue.welcomeAt(),
    ending: () => queue.ending(),
    claims: { key: claimKey, withinMs: config.claimWithin, bootstrap, claiming: () => queue.wake() },
    async close() {
      await digester.close()
      await cluster.close()
    },
  }
}

/** All jobs of this name: of two that raced, neither is left. */
async function remove(tools: SlurmTools, id: EnvironmentId, signal: AbortSignal): Promise<void> {
  const { queue, names, records, cluster } = tools
  signal.throwIfAborted()
  const record = await records.job(id)
  const within = AbortSignal.any([signal, AbortSignal.timeout(callTimeoutMs)])
  const latest = queue.latest()
  const known = latest === undefined ? [] : (jobsOf(latest, names).get(id) ?? [])
  // Where nothing is known of it, or a submit of it was not answered, only a look now can tell.
  const isClear = record !== undefined || known.length > 0
  const jobs = isClear ? known : (jobsOf(await queue.fresh(signal), names).get(id) ?? [])
  const wanted = new Map(jobs.filter((job) => !hasEnded(job)).map(({ jobId, user, uid }) => [jobId, { user, uid }]))
  if (record !== undefined) wanted.set(record.jobId, { user: record.user, uid: record.uid })
  for (const [jobId, person] of wanted) await cluster.cancel(person, jobId, within)
  // One that never started has not taken it away.
  if (record?.keyFile !== undefined) await cluster.discard?.(record, record.keyFile, within)
  queue.removed()
  if (record !== undefined || jobs.length > 0 || (await records.asked(id)) !== undefined) await records.remove(id)
}

function changesOf(
  { names }: SlurmTools,
  ...looks: readonly (Parameters<typeof jobsOf>[0] | undefined)[]
): Set<EnvironmentId> {
  const [now, before] = looks.map((each) => (each === undefined ? new Map<never, never>() : jobsOf(each, names)))
  const changed = new Set<EnvironmentId>()
  for (const id of [...(now?.keys() ?? []), ...(before?.keys() ?? [])]) {
    if (now?.get(id)?.[0]?.state !== before?.get(id)?.[0]?.state) changed.add(id)
  }
  return changed
}
