/** What one cluster shows of one hub's environments: pods and events, followed, and what is made of them. */
import { setTimeout as sleep } from 'node:timers/promises'
import { isEnvironmentId, type EnvironmentId, type Found, type Log } from '../spawner.ts'
import type { Api } from './api.ts'
import type { KubernetesConfig } from './config.ts'
import { createEndings } from './endings.ts'
import { follow } from './follow.ts'
import { foundOf } from './found.ts'
import { label, labelValue, selectorOf } from './names.ts'
import { createWords } from './pod-words.ts'
import { readPod } from './read.ts'
import { seenEventSchema, seenPodSchema, type SeenEvent, type SeenPod } from './seen.ts'

export interface View {
  /** All of them; while the watch is open it costs no request. @throws when the cluster can't tell. */
  observe(signal: AbortSignal): Promise<ReadonlyMap<EnvironmentId, Found>>
  /** Its pod, by the watch or by a list. @throws when the cluster can't tell. */
  podOf(id: EnvironmentId, signal: AbortSignal): Promise<SeenPod | undefined>
  /** It is there, or it is known how it ended. */
  knows(id: EnvironmentId): boolean
  /** Somebody waits for changes: they are followed from soon on, looked for or not. */
  heed(): void
  /** A pod that a request answered: the watch may not have told it yet. */
  put(pod: SeenPod): void
  /** We remove it ourselves: its going is nothing to tell. */
  removing(id: EnvironmentId): void
  count(): number
  isCurrent(): boolean
  /** ms since anything was heard; undefined: never yet. */
  ageMs(): number | undefined
  /** Why the watch is not open. */
  trouble(): string | undefined
  /** Resolves when the signal has ended it. */
  readonly done: Promise<unknown>
}

export interface ViewOptions {
  readonly api: Api
  readonly config: KubernetesConfig
  readonly hub: string
  /** The one that everything is in; undefined: it may be in any. */
  readonly namespace: string | undefined
  readonly changed: (id: EnvironmentId) => void
  readonly log: Log
  readonly now: () => Date
  readonly signal: AbortSignal
}

/** A loop that begins looks at once; until one does, another hub's does, and this one need not know soon. */
const firstLookMs = 1_000
const idleMs = 15_000

export function createView({ api, config, hub, namespace, changed, log, now, signal }: ViewOptions): View {
  const words = createWords()
  const endings = createEndings(now)
  const place = namespace === undefined ? '/api/v1' : `/api/v1/namespaces/${namespace}`
  /** What time and events do not change: kept with the pod as it was shown, because all of them are looked at again. */
  const settled = new WeakMap<SeenPod, Found>()
  const common = { api, log, silenceMs: config.silencePatience, now: () => performance.now(), signal }

  const looked = Promise.withResolvers<void>()
  const listed = Promise.withResolvers<void>()
  signal.addEventListener('abort', () => listed.resolve(), { once: true })

  const told = (id: string): void => {
    if (isEnvironmentId(id)) changed(id)
  }
  const pods = follow<SeenPod>({
    ...common,
    path: `${place}/pods`,
    query: { labelSelector: selectorOf(hub) },
    read: (object) => seenPodSchema.parse(object),
    keyOf: (pod) => pod.metadata.name,
    versionOf: (pod) => pod.metadata.resourceVersion,
    begin: Promise.race([looked.promise, sleep(idleMs, undefined, { signal, ref: false })]),
    listed: () => listed.resolve(),
    changed(pod, type) {
      const { name } = pod.metadata
      if (type === 'gone') endings.gone(pod)
      if (type === 'gone' || pod.status.phase === 'Running') words.forget(name)
      told(name)
    },
  })
  const events = follow<SeenEvent>({
    ...common,
    path: `${place}/events`,
    query: { fieldSelector: 'involvedObject.kind=Pod' },
    read: readEvent,
    keyOf: (event) => `${event.metadata.namespace}/${event.metadata.name}`,
    versionOf: (event) => event.metadata.resourceVersion,
    // There may be many times as many as pods: what is known of these comes first.
    begin: listed.promise,
    isKept: () => false,
    changed(event) {
      if (words.said(event)) told(event.involvedObject.name)
    },
  })

  /** Events of others, of what runs and of what is gone are nothing to anybody: most of them, after a start. */
  function readEvent(object: unknown): SeenEvent | undefined {
    const { name } = (object as { involvedObject?: { name?: unknown } }).involvedObject ?? {}
    const pod = typeof name === 'string' ? pods.items.get(name) : undefined
    if (typeof name === 'string' && (!isEnvironmentId(name) || (pod && pod.status.phase !== 'Pending')))
      return undefined
    return seenEventSchema.parse(object)
  }

  async function listPods(until: AbortSignal): Promise<void> {
    const listing = pods.list(until)
    looked.resolve()
    await listing
  }

  function read(pod: SeenPod): Found {
    const found = foundOf(pod, readPod(pod, words.of(pod.metadata.name), now(), config))
    if (found.observation.phase !== 'pending') settled.set(pod, found)
    return found
  }

  return {
    async observe(until) {
      until.throwIfAborted()
      if (!pods.isCurrent()) await listPods(until)
      const found = new Map<EnvironmentId, Found>()
      for (const pod of pods.items.values()) {
        const { name, labels } = pod.metadata
        if (!isEnvironmentId(name) || labels[label.hub] !== labelValue(hub)) continue
        found.set(name, settled.get(pod) ?? read(pod))
      }
      for (const [id, ended] of endings.all()) if (!found.has(id)) found.set(id, ended)
      return found
    },
    async podOf(id, until) {
      until.throwIfAborted()
      if (!pods.isCurrent()) await listPods(until)
      return pods.items.get(id)
    },
    knows: (id) => pods.items.has(id) || endings.has(id),
    put: (pod) => pods.put(pod),
    removing(id) {
      endings.forget(id)
      if (pods.items.has(id)) endings.removed(id)
    },
    heed: () => void setTimeout(looked.resolve, firstLookMs).unref(),
    count: () => pods.items.size,
    isCurrent: () => pods.isCurrent(),
    ageMs: () => pods.ageMs(),
    trouble: () => pods.trouble(),
    done: Promise.allSettled([pods.done, events.done]),
  }
}
