/** What one cluster shows of one hub's environments: pods and events, followed, and what is made of them. */
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

export function createView({ api, config, hub, namespace, changed, log, now, signal }: ViewOptions): View {
  const words = createWords()
  const endings = createEndings(now)
  const place = namespace === undefined ? '/api/v1' : `/api/v1/namespaces/${namespace}`
  const common = { api, log, silenceMs: config.silencePatience, now: () => performance.now(), signal }

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
    read: (object) => seenEventSchema.parse(object),
    keyOf: (event) => `${event.metadata.namespace}/${event.metadata.name}`,
    versionOf: (event) => event.metadata.resourceVersion,
    isKept: () => false,
    changed(event) {
      const { name } = event.involvedObject
      // Events of others, of what runs and of what is gone are nothing to anybody.
      const pod = pods.items.get(name)
      if (!isEnvironmentId(name) || (pod && pod.status.phase !== 'Pending')) return
      if (words.said(event)) told(name)
    },
  })

  return {
    async observe(until) {
      until.throwIfAborted()
      if (!pods.isCurrent()) await pods.list(until)
      const found = new Map<EnvironmentId, Found>()
      for (const pod of pods.items.values()) {
        const { name, labels } = pod.metadata
        if (!isEnvironmentId(name) || labels[label.hub] !== labelValue(hub)) continue
        found.set(name, foundOf(pod, readPod(pod, words.of(name), now(), config)))
      }
      for (const [id, ended] of endings.all()) if (!found.has(id)) found.set(id, ended)
      return found
    },
    async podOf(id, until) {
      until.throwIfAborted()
      if (!pods.isCurrent()) await pods.list(until)
      return pods.items.get(id)
    },
    knows: (id) => pods.items.has(id) || endings.has(id),
    put: (pod) => pods.put(pod),
    removing(id) {
      endings.forget(id)
      if (pods.items.has(id)) endings.removed(id)
    },
    count: () => pods.items.size,
    isCurrent: () => pods.isCurrent(),
    ageMs: () => pods.ageMs(),
    trouble: () => pods.trouble(),
    done: Promise.allSettled([pods.done, events.done]),
  }
}
