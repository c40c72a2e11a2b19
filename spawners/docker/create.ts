/** The spawner of one Docker: a container with its files for each environment, followed by Docker's events. */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { createTicketFiles, type TicketFiles } from '../common/ticketFiles.ts'
import { isEnvironmentId, LaunchRefused } from '../spawner.ts'
import type { EnvironmentId, EnvironmentSpec, Found, Observation, Spawner, SpawnerContext } from '../spawner.ts'
import type { DockerConfig, DockerProfile } from './config.ts'
import type { Engine, ListedContainer, Volume } from './engine.ts'
import { createLauncher } from './launch.ts'
import { containerName, endVolume, filesVolume, label, wishVolume } from './names.ts'
import { readContainer, type State } from './read.ts'
import { checkSpec } from './render.ts'
import { createTasks } from './tasks.ts'
import { said } from './words.ts'

const mostLogBytes = 64 * 1_024
const reconnectMs = 1_000
const forgetTimeoutMs = 30_000

export async function createDocker(
  config: DockerConfig,
  context: SpawnerContext,
  engine: Engine,
): Promise<Spawner<DockerProfile>> {
  const { hub, log, now } = context
  const life = new AbortController()
  const ours = [`${label.hub}=${hub}`]
  const listeners = new Set<(id: EnvironmentId) => void>()
  const changed = (id: EnvironmentId): void => {
    for (const listener of listeners) listener(id)
  }
  const tickets = config.ticketFolder === undefined ? undefined : createTicketFiles(config.ticketFolder, randomUUID)
  const launcher = createLauncher({ config, context, engine, tickets })
  const tasks = createTasks({ launch: launcher, forget, changed, log, life: life.signal, now })
  /** By container: when a running one started, or how another ended, changes only with an event. */
  const states = new Map<string, Readonly<{ status: string; state: State }>>()
  const forgetting = new Set<Promise<void>>()
  /** Asked to end, until they are gone. */
  const stopping = new Map<EnvironmentId, () => void>()

  void followEvents()
  void sweep()

  async function followEvents(): Promise<void> {
    while (!life.signal.aborted) {
      try {
        await engine.events(ours, onEvent, life.signal)
      } catch (error) {
        if (!life.signal.aborted) log.debug({ err: error }, 'the events of Docker ended')
      }
      // What happened meanwhile is seen by the next observation, which asks anew.
      states.clear()
      await sleep(reconnectMs, undefined, { signal: life.signal }).catch(() => undefined)
    }
  }

  function onEvent(labels: Readonly<Record<string, string>>, action: string): void {
    const id = labels[label.environment]
    if (id === undefined || !isEnvironmentId(id)) return
    states.clear()
    if (action === 'die') stopping.get(id)?.()
    if (action === 'destroy') void sweep()
    changed(id)
  }

  /** What is left of containers that somebody else removed: their files, and with them the agent's key. */
  async function sweep(): Promise<void> {
    try {
      // In this order, as in an observation.
      const volumes = await engine.volumes(ours, life.signal)
      const containers = await engine.containers(ours, life.signal)
      const alive = new Set(containers.map(({ labels }) => labels[label.environment]))
      for (const { labels } of volumes) if (labels[label.role] === 'wish') alive.add(labels[label.environment])
      for (const { name, labels } of volumes) {
        if (!alive.has(labels[label.environment])) await engine.removeVolume(name, life.signal)
      }
      await tickets?.sweep((id) => alive.has(id))
    } catch (error) {
      // The next removal, or the next start of the hub, does it.
      if (!life.signal.aborted) log.debug({ err: error }, 'the volumes of Docker could not be looked through')
    }
  }

  async function stateOf({ id, status }: ListedContainer, signal: AbortSignal): Promise<State | undefined> {
    const known = states.get(id)
    if (known?.status === status) return known.state
    const found = await engine.inspect(id, signal)
    if (found !== undefined) states.set(id, { status, state: found.state })
    return found?.state
  }

  async function observeContainer(
    id: EnvironmentId,
    container: ListedContainer,
    end: Volume | undefined,
    signal: AbortSignal,
  ): Promise<Observation | undefined> {
    if (tasks.has(id)) return tasks.pending(id)
    const state = await stateOf(container, signal)
    if (state === undefined) return undefined
    if (stopping.has(id) && state.status === 'running') return { phase: 'stopping' }
    const endsAt = end && new Date(end.labels[label.endsAt] ?? '')
    const seen = { ...container, state, ...(endsAt !== undefined && { endsAt }) }
    return readContainer(seen, config.publish?.host)
  }

  /** Nothing of it stays. A wish goes first: what is wanted no more is not begun again. */
  async function forget(id: EnvironmentId, signal: AbortSignal): Promise<void> {
    await engine.removeVolume(wishVolume(id), signal)
    await engine.remove(containerName(id), signal)
    for (const name of [filesVolume(id), endVolume(id)]) await engine.removeVolume(name, signal)
    await tickets?.remove(id)
  }

  /** SIGTERM was sent: its end, or the end of its time, makes it go. */
  function finish(id: EnvironmentId): void {
    if (stopping.has(id)) return
    const over = new AbortController()
    stopping.set(id, () => over.abort())
    void (async () => {
      await sleep(config.stopGrace, undefined, { signal: AbortSignal.any([over.signal, life.signal]) }).catch(
        () => undefined,
      )
      try {
        if (life.signal.aborted) return
        // Begun, it is brought to its end also when the hub stops: half of it would lie there until the next one.
        const work = forget(id, AbortSignal.timeout(forgetTimeoutMs))
        forgetting.add(work)
        await work.finally(() => forgetting.delete(work))
      } catch (error) {
        // The loop asks for it again.
        log.warn({ err: error, environment: id }, 'a container could not be removed')
      } finally {
        stopping.delete(id)
        changed(id)
      }
    })()
  }

  return {
    heedsBeneath: true,
    ...(tickets === undefined ? {} : { renewTickets: renewal(tickets) }),

    async ensure(spec, signal) {
      signal.throwIfAborted()
      if (spec.hub !== hub) throw new Error(`a bug: ${spec.id} is of the hub ${spec.hub}`)
      checkSpec(spec, config)
      if (tasks.knows(spec.id)) return await tasks.accepted(spec.id)
      const there = await engine.inspect(containerName(spec.id), signal)
      if (there !== undefined && there.labels[label.hub] !== hub) {
        throw new LaunchRefused(`Docker has a container ${containerName(spec.id)} of somebody else. Launch it again.`)
      }
      if (there !== undefined && there.state.status !== 'created') return
      await engine.makeVolume(wishVolume(spec.id), wishLabels(spec), signal)
      // What is there already is started before this answers, so that a refusal is an answer; a pull may take long.
      const isQuick = spec.profile.pull !== 'always' && (await engine.image(spec.image ?? '', signal)) !== undefined
      await tasks.begin(spec, isQuick)
    },

    async observe(signal) {
      signal.throwIfAborted()
      // In this order: a wish goes once there is its container, so that one of the two is always seen.
      const volumes = await engine.volumes(ours, signal)
      const containers = await engine.containers(ours, signal)
      const byName = new Map(volumes.map((volume) => [volume.name, volume]))
      const found = new Map<EnvironmentId, Found>()
      for (const container of containers) {
        const id = container.labels[label.environment] ?? ''
        if (!isEnvironmentId(id)) continue
        const observation = await observeContainer(id, container, byName.get(endVolume(id)), signal)
        if (observation !== undefined) found.set(id, { observation, ...whose(container.labels) })
      }
      for (const volume of volumes) {
        const id = volume.labels[label.environment] ?? ''
        if (!isEnvironmentId(id) || volume.labels[label.role] !== 'wish' || tasks.ended(id) !== undefined) continue
        const isMade = found.get(id)
        if (isMade !== undefined && isMade.observation.phase !== 'pending') continue
        // Accepted by a hub that is no more: this one goes on with it.
        if (!tasks.has(id)) takeOver(volume)
        found.set(id, { observation: tasks.pending(id), ...whose(volume.labels) })
      }
      for (const [id, here] of [...tasks.endings(), ...tasks.running()]) if (!found.has(id)) found.set(id, here)
      return found
    },

    async remove(id, signal) {
      signal.throwIfAborted()
      await tasks.cancel(id)
      const there = await engine.inspect(containerName(id), signal)
      if (there !== undefined && there.labels[label.hub] !== hub) return
      if (there?.state.status === 'running') {
        await engine.terminate(there.id, signal)
        finish(id)
      } else {
        const [wish] = await engine.volumes([...ours, `${label.environment}=${id}`], signal)
        if (there !== undefined || wish !== undefined) await forget(id, signal)
      }
    },

    async logs(id, signal) {
      signal.throwIfAborted()
      const there = await engine.inspect(containerName(id), signal)
      if (there === undefined || there.labels[label.hub] !== hub) return ''
      return await engine.logs(there.id, mostLogBytes, signal)
    },

    async extend(id, endsAt, signal) {
      signal.throwIfAborted()
      await engine.removeVolume(endVolume(id), signal)
      const labels = { [label.hub]: hub, [label.environment]: id, [label.role]: 'end' }
      await engine.makeVolume(endVolume(id), { ...labels, [label.endsAt]: endsAt.toISOString() }, signal)
    },

    async watch(listener, signal) {
      signal.throwIfAborted()
      listeners.add(listener)
      const over = AbortSignal.any([signal, life.signal])
      await new Promise<void>((resolve) => over.addEventListener('abort', () => resolve(), { once: true }))
      listeners.delete(listener)
    },

    async check(signal) {
      try {
        const { version, keepsContainers } = await engine.about(signal)
        const restart = keepsContainers ? '' : ' Environments end when Docker is restarted: set live-restore.'
        return { ok: true, message: `Docker ${version}.${restart}` }
      } catch (error) {
        // Of a certificate that is refused, by either side, there is nothing but a code.
        const why = said(error) ?? (error as NodeJS.ErrnoException).code
        return { ok: false, message: `Docker does not answer${why === undefined ? '' : `: ${why}`}.` }
      }
    },

    async close() {
      life.abort()
      await Promise.allSettled([tasks.settled(), ...forgetting])
    },
  }

  function renewal(files: TicketFiles): NonNullable<Spawner['renewTickets']> {
    const runs = async (id: EnvironmentId, signal: AbortSignal): Promise<boolean> => {
      const there = await engine.inspect(containerName(id), signal)
      return there?.labels[label.hub] === hub && there.state.status === 'running'
    }
    return async ({ id, account }, cache, signal) => {
      if (!(await runs(id, signal))) return
      await files.write(id, account, cache)
      // It may have been removed meanwhile, and its tickets with it.
      if (!(await runs(id, signal))) await files.remove(id)
    }
  }

  function takeOver({ labels }: Volume): void {
    const spec = JSON.parse(labels[label.spec] ?? 'null') as EnvironmentSpec<DockerProfile> | null
    if (spec !== null) void tasks.begin(spec, false)
  }
}

function wishLabels(spec: EnvironmentSpec<DockerProfile>): Record<string, string> {
  return {
    [label.hub]: spec.hub,
    [label.environment]: spec.id,
    [label.owner]: spec.owner,
    [label.digest]: spec.digest,
    [label.role]: 'wish',
    [label.spec]: JSON.stringify(spec),
  }
}

function whose(labels: Readonly<Record<string, string>>): { owner?: string; digest?: string } {
  const owner = labels[label.owner]
  const digest = labels[label.digest]
  return { ...(owner !== undefined && { owner }), ...(digest !== undefined && { digest }) }
}
