/** The spawner of one cluster: one pod with its secret for each environment, followed by one list and one watch. */
import type { V1Pod } from '@kubernetes/client-node'
import { z } from 'zod'
import {
  LaunchRefused,
  type EnvironmentId,
  type EnvironmentSpec,
  type Found,
  type Spawner,
  type SpawnerContext,
} from '../spawner.ts'
import { isEnvironmentId } from '../spawner.ts'
import type { Api } from './api.ts'
import type { KubernetesConfig } from './config.ts'
import { createEndings } from './endings.ts'
import { follow } from './follow.ts'
import { annotation, isManyNamespaces, label, labelValue, mainContainer, namespaceOf, selectorOf } from './names.ts'
import { networkPolicy } from './network.ts'
import type { KubernetesProfile } from './profile.ts'
import { readPod } from './read.ts'
import { asRefusal, isStatus } from './refusal.ts'
import { renderPod, renderSecret } from './render.ts'
import { seenEventSchema, seenPodSchema, type SeenEvent, type SeenPod } from './seen.ts'
import { claimsOf } from './volumes.ts'
import { createWords } from './pod-words.ts'

type Spec = EnvironmentSpec<KubernetesProfile>

export async function createKubernetes(
  config: KubernetesConfig,
  context: SpawnerContext,
  api: Api,
): Promise<Spawner<KubernetesProfile>> {
  const life = new AbortController()
  const { hub, log, now } = context
  const many = isManyNamespaces(config.namespace)
  const listeners = new Set<(id: EnvironmentId) => void>()
  const words = createWords()
  const endings = createEndings(now)
  const common = { api, log, silenceMs: config.silencePatience, now: () => performance.now(), signal: life.signal }

  const told = (id: string): void => {
    if (isEnvironmentId(id)) for (const listener of listeners) listener(id)
  }
  const pods = follow<SeenPod>({
    ...common,
    path: many ? '/api/v1/pods' : `/api/v1/namespaces/${namespaceFor()}/pods`,
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
    path: many ? '/api/v1/events' : `/api/v1/namespaces/${namespaceFor()}/events`,
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

  function namespaceFor(spec?: Spec): string {
    const nobody = { hub, owner: '', account: { gid: 0 } as EnvironmentSpec['account'] }
    return namespaceOf(config.namespace, spec ?? nobody)
  }

  async function placeOf(id: EnvironmentId, signal: AbortSignal): Promise<string | undefined> {
    if (!many) return namespaceFor()
    const known = pods.items.get(id)?.metadata.namespace
    if (known !== undefined) return known
    await pods.list(signal)
    return pods.items.get(id)?.metadata.namespace
  }

  return {
    async ensure(spec, signal) {
      if (spec.hub !== hub) throw new Error(`a bug: ${spec.id} is of the hub ${spec.hub}`)
      const pod = renderPod(spec, config)
      const namespace = namespaceFor(spec)
      try {
        await make(spec, pod, namespace, signal)
      } catch (error) {
        const said = asRefusal(error)
        // The loop asks no more for what was refused for good: its secret would stay.
        if (said instanceof LaunchRefused) await removeOne(`/api/v1/namespaces/${namespace}/secrets/${spec.id}`, signal)
        throw said
      }
    },

    async observe(signal) {
      signal.throwIfAborted()
      if (!pods.isCurrent()) await pods.list(signal)
      const found = new Map<EnvironmentId, Found>()
      for (const pod of pods.items.values()) {
        const { name, annotations, labels } = pod.metadata
        if (!isEnvironmentId(name) || labels[label.hub] !== labelValue(hub)) continue
        const owner = annotations[annotation.owner]
        const digest = annotations[annotation.digest]
        found.set(name, {
          observation: readPod(pod, words.of(name), now(), config),
          ...(owner !== undefined && { owner }),
          ...(digest !== undefined && { digest }),
        })
      }
      for (const [id, ended] of endings.all()) if (!found.has(id)) found.set(id, ended)
      return found
    },

    async remove(id, signal) {
      signal.throwIfAborted()
      if (!pods.isCurrent()) await pods.list(signal)
      endings.forget(id)
      const pod = pods.items.get(id)
      if (pod) {
        const { namespace, uid } = pod.metadata
        endings.removed(id)
        // The secret goes with the pod that owns it, but for one that a launch was cut off from giving away.
        await removeOne(`/api/v1/namespaces/${namespace}/pods/${id}`, signal, { preconditions: { uid } })
        await removeOne(`/api/v1/namespaces/${namespace}/secrets/${id}`, signal)
      } else if (!many) {
        const query = { labelSelector: `${selectorOf(hub)},${label.environment}=${id}` }
        await api.call('DELETE', `/api/v1/namespaces/${namespaceFor()}/secrets`, { signal, query })
      }
    },

    async logs(id, signal) {
      signal.throwIfAborted()
      const namespace = await placeOf(id, signal)
      if (namespace === undefined) return ''
      const query = { container: mainContainer, tailLines: mostLogLines }
      return await api.tail(`/api/v1/namespaces/${namespace}/pods/${id}/log`, mostLogBytes, { signal, query })
    },

    async extend(id, endsAt, signal) {
      const namespace = await placeOf(id, signal)
      if (namespace === undefined) throw new Error(`${id} is not in the cluster`)
      const body = { metadata: { annotations: { [annotation.endsAt]: endsAt.toISOString() } } }
      const contentType = 'application/merge-patch+json'
      const path = `/api/v1/namespaces/${namespace}/pods/${id}`
      pods.put(seenPodSchema.parse(await api.call('PATCH', path, { signal, body, contentType })))
    },

    async watch(changed, signal) {
      signal.throwIfAborted()
      listeners.add(changed)
      const over = AbortSignal.any([signal, life.signal])
      await new Promise<void>((resolve) => over.addEventListener('abort', () => resolve(), { once: true }))
      listeners.delete(changed)
    },

    async check(signal) {
      const answer = await api.call('GET', '/version', { signal }).catch(() => undefined)
      const { success, data } = versionSchema.safeParse(answer)
      if (!success) return { ok: false, message: 'The cluster does not answer.' }
      const seconds = Math.round((pods.ageMs() ?? 0) / 1_000)
      const watching = pods.isCurrent() ? `last heard of ${seconds} s ago` : 'its watch is being opened'
      return { ok: true, message: `Kubernetes ${data.gitVersion}, ${pods.items.size} environments, ${watching}.` }
    },

    async close() {
      life.abort()
      await Promise.allSettled([pods.done, events.done])
      await api.close()
    },
  }

  async function make(spec: Spec, pod: V1Pod, namespace: string, signal: AbortSignal): Promise<void> {
    const place = `/api/v1/namespaces/${namespace}`
    if (pods.items.has(spec.id) || endings.has(spec.id)) return
    if (config.createNamespaces) await makeNamespace(namespace, spec, signal)
    for (const claim of claimsOf(spec.profile, spec)) await once(`${place}/persistentvolumeclaims`, claim, signal)
    const bootstrap = context.bootstrap(spec)
    const listen = { host: '0.0.0.0', ports: [config.agentPort, config.agentPort] as [number, number] }
    await once(`${place}/secrets`, renderSecret(spec, { ...bootstrap, listen }), signal)
    const made =
      (await once(`${place}/pods`, pod, signal)) ?? (await api.call('GET', `${place}/pods/${spec.id}`, { signal }))
    const seen = seenPodSchema.parse(made)
    if (seen.metadata.labels[label.hub] !== labelValue(hub)) {
      throw new LaunchRefused(`There is a pod ${spec.id} of somebody else in the cluster. Launch it again.`)
    }
    pods.put(seen)
    await giveSecret(`${place}/secrets/${spec.id}`, seen, signal)
  }

  /** From now on the secret goes when the pod goes. */
  async function giveSecret(path: string, pod: SeenPod, signal: AbortSignal): Promise<void> {
    const { name, uid } = pod.metadata
    const ownerReferences = [{ apiVersion: 'v1', kind: 'Pod', name, uid }]
    const body = { metadata: { ownerReferences } }
    await api.call('PATCH', path, { signal, body, contentType: 'application/merge-patch+json' })
  }

  /** Undefined: it was there already. */
  async function once(path: string, body: object, signal: AbortSignal): Promise<unknown> {
    try {
      return await api.call('POST', path, { signal, body })
    } catch (error) {
      if (isStatus(error, 409) && (error as { reason?: string }).reason === 'AlreadyExists') return undefined
      throw error
    }
  }

  /** What is not there, or is another by now, is gone. */
  async function removeOne(path: string, signal: AbortSignal, body?: object): Promise<void> {
    try {
      await api.call('DELETE', path, { signal, ...(body !== undefined && { body }) })
    } catch (error) {
      if (!isStatus(error, 404, 409)) throw error
    }
  }

  async function makeNamespace(name: string, spec: Spec, signal: AbortSignal): Promise<void> {
    const labels = {
      [label.hub]: labelValue(hub),
      [label.managedBy]: 'hutch',
      'pod-security.kubernetes.io/enforce': 'restricted',
    }
    await once('/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } }, signal)
    const policy = networkPolicy(hub, config, context.bootstrap(spec).report)
    await once(`/apis/networking.k8s.io/v1/namespaces/${name}/networkpolicies`, policy, signal)
  }
}

const versionSchema = z.object({ gitVersion: z.string() })
const mostLogBytes = 64 * 1_024
const mostLogLines = 5_000
