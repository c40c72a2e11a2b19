/** Launches under way in this process, and how those ended of which nothing is in Docker. */
import { setTimeout as sleep } from 'node:timers/promises'
import { LaunchRefused, type EnvironmentId, type EnvironmentSpec, type Found, type Log } from '../spawner.ts'
import type { Observation, Stage } from '../spawner.ts'
import type { DockerProfile } from './config.ts'

type Spec = EnvironmentSpec<DockerProfile>
export type Tell = (stage: Stage, message: string) => void

export interface Tasks {
  has(id: EnvironmentId): boolean
  /** One is under way, or ended here. */
  knows(id: EnvironmentId): boolean
  /** Resolves once it is accepted; rejects as `begin` did. */
  accepted(id: EnvironmentId): Promise<void>
  /** `isQuick`: resolves when it was started, rejects with why not; else at once, and a refusal is an ending. */
  begin(spec: Spec, isQuick: boolean): Promise<void>
  pending(id: EnvironmentId): Observation
  ended(id: EnvironmentId): Found | undefined
  endings(): Iterable<[EnvironmentId, Found]>
  running(): Iterable<[EnvironmentId, Found]>
  /** Nothing of it is begun after this, and its ending is forgotten. */
  cancel(id: EnvironmentId): Promise<void>
  settled(): Promise<void>
}

export interface TasksOptions {
  readonly launch: (spec: Spec, tell: Tell, signal: AbortSignal) => Promise<void>
  readonly forget: (id: EnvironmentId, signal: AbortSignal) => Promise<void>
  readonly changed: (id: EnvironmentId) => void
  readonly log: Log
  readonly life: AbortSignal
  readonly now: () => Date
}

interface Task {
  readonly stop: AbortController
  readonly accepted: Promise<void>
  readonly done: Promise<void>
  readonly spec: Spec
  stage: Stage
  message: string
}

/** What Docker could not do for want of an answer is tried again, a moment later each time. */
const retryMs = [1_000, 2_000, 5_000, 10_000, 30_000] as const
const mostEndings = 1_000

export function createTasks({ launch, forget, changed, log, life, now }: TasksOptions): Tasks {
  const tasks = new Map<EnvironmentId, Task>()
  const over = new Map<EnvironmentId, Found>()

  async function persist(spec: Spec, tell: Tell, signal: AbortSignal): Promise<void> {
    for (let tries = 0; ; tries += 1) {
      try {
        return await launch(spec, tell, signal)
      } catch (error) {
        if (error instanceof LaunchRefused || signal.aborted) throw error
        log.warn({ err: error, environment: spec.id }, 'a launch is tried again')
        tell('accepted', 'Docker did not answer as it should; it is tried again')
        await sleep(retryMs[Math.min(tries, retryMs.length - 1)], undefined, { signal })
      }
    }
  }

  function pending(id: EnvironmentId): Observation {
    const { stage, message } = tasks.get(id) ?? { stage: 'accepted', message: 'Docker has accepted it' }
    return { phase: 'pending', stage, message }
  }

  function remember(spec: Spec, error: LaunchRefused): void {
    const { owner, digest } = spec
    const observation = { phase: 'ended', reason: error.reason, message: error.message, endedAt: now() } as const
    over.set(spec.id, { owner, digest, observation })
    const [oldest] = over.keys()
    if (over.size > mostEndings && oldest !== undefined) over.delete(oldest)
  }

  return {
    has: (id) => tasks.has(id),
    knows: (id) => tasks.has(id) || over.has(id),
    accepted: async (id) => await tasks.get(id)?.accepted,
    async begin(spec, isQuick) {
      const { id } = spec
      const running = tasks.get(id)
      if (running) return await running.accepted
      const stop = new AbortController()
      const signal = AbortSignal.any([stop.signal, life])
      const tell: Tell = (stage, message) => {
        const task = tasks.get(id)
        if (task === undefined || (task.stage === stage && task.message === message)) return
        task.stage = stage
        task.message = message
        changed(id)
      }
      const work = isQuick ? launch(spec, tell, signal) : persist(spec, tell, signal)
      const done = work
        .catch(async (error: unknown) => {
          if (signal.aborted || !(error instanceof LaunchRefused)) throw error
          // First, so that it is told by something at every moment.
          if (!isQuick) remember(spec, error)
          await forget(id, signal)
          throw error
        })
        .finally(() => {
          tasks.delete(id)
          changed(id)
        })
      // Who waits for it is told by `accepted`; otherwise it is an ending, or was cancelled.
      done.catch(() => undefined)
      const accepted = isQuick ? done : Promise.resolve()
      tasks.set(id, { stop, accepted, done, spec, stage: 'accepted', message: 'Docker has accepted it' })
      return await accepted
    },
    pending,
    ended: (id) => over.get(id),
    endings: () => over.entries(),
    running: () =>
      [...tasks].map(([id, { spec }]) => {
        const { owner, digest } = spec
        return [id, { owner, digest, observation: pending(id) }]
      }),
    async cancel(id) {
      over.delete(id)
      const task = tasks.get(id)
      task?.stop.abort(new Error('it is no longer wanted'))
      await task?.done.catch(() => undefined)
      over.delete(id)
    },
    async settled() {
      await Promise.allSettled([...tasks.values()].map(({ done }) => done))
    },
  }
}
