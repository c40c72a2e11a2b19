/** The objects of one environment, made and taken away: its namespace, its claims, its secret, its pod. */
import type { V1Pod } from '@kubernetes/client-node'
import { z } from 'zod'
import { LaunchRefused, type EnvironmentId, type EnvironmentSpec, type SpawnerContext } from '../spawner.ts'
import type { Api } from './api.ts'
import type { KubernetesConfig } from './config.ts'
import { label, labelValue, selectorOf } from './names.ts'
import { networkPolicies } from './network.ts'
import type { KubernetesProfile } from './profile.ts'
import { quotaName, renderQuota } from './quota.ts'
import { isStatus } from './refusal.ts'
import { renderSecret } from './render.ts'
import { seenPodSchema, type SeenPod } from './seen.ts'
import type { View } from './view.ts'
import { claimsOf } from './volumes.ts'

type Spec = EnvironmentSpec<KubernetesProfile>

export interface Objects {
  /** Twice is once. @throws what the cluster refuses, as it says it. */
  make(spec: Spec, pod: V1Pod, namespace: string, signal: AbortSignal): Promise<void>
  /** Absent is success. */
  remove(id: EnvironmentId, signal: AbortSignal): Promise<void>
  /** Of a namespace that is its owner's own; one that is not there has none. */
  limitOwner(spec: Spec, namespace: string, signal: AbortSignal): Promise<void>
  /** The secret of a launch that is refused for good: nobody asks for it again. */
  removeSecret(id: EnvironmentId, namespace: string, signal: AbortSignal): Promise<void>
}

export interface ObjectsOptions {
  readonly api: Api
  readonly config: KubernetesConfig
  readonly context: Pick<SpawnerContext, 'hub' | 'bootstrap' | 'log'>
  readonly view: View
  /** The one that everything is in; undefined: it may be in any. */
  readonly namespace: string | undefined
}

const mostRemembered = 10_000
const mostNamespaces = 100_000
const atOnce = 16

export function createObjects({ api, config, context, view, namespace: only }: ObjectsOptions): Objects {
  const { hub, log } = context
  /** Where this process began launches: a secret that has no pod yet is told by nothing else. */
  const places = new Map<EnvironmentId, string>()
  const namespaces = new Set<string>()
  /** What was asked for last, by namespace. */
  const quotas = new Map<string, string>()
  const isOwners = config.namespace.includes('{owner}')

  /** Undefined: it was there already. */
  async function once(path: string, body: object, signal: AbortSignal): Promise<unknown> {
    try {
      return await api.call('POST', path, { signal, body })
    } catch (error) {
      if (isStatus(error, 409) && error.reason === 'AlreadyExists') return undefined
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

  /** By its labels: one that has this name by chance may be another hub's. */
  const removeSecret: Objects['removeSecret'] = async (id, namespace, signal) => {
    const query = { labelSelector: `${selectorOf(hub)},${label.environment}=${id}` }
    await api.call('DELETE', `/api/v1/namespaces/${namespace}/secrets`, { signal, query })
  }

  async function makeNamespace(name: string, spec: Spec, signal: AbortSignal): Promise<void> {
    if (namespaces.has(name)) return
    const labels = {
      ...config.namespaceLabels,
      [label.hub]: labelValue(hub),
      [label.managedBy]: 'hutch',
      'pod-security.kubernetes.io/enforce': config.podSecurity,
    }
    const metadata = { name, labels, annotations: config.namespaceAnnotations }
    const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata }
    const made = await once('/api/v1/namespaces', namespace, signal)
    const there = namespaceSchema.parse(made ?? (await api.call('GET', `/api/v1/namespaces/${name}`, { signal })))
    if (there.metadata.labels[label.hub] !== labelValue(hub)) {
      throw new LaunchRefused(
        `The namespace ${name} is somebody else's: it lacks the label ${label.hub}=${labelValue(hub)}. Ask your administrator.`,
      )
    }
    for (const policy of networkPolicies(hub, config, context.bootstrap(spec).report)) {
      await once(`/apis/networking.k8s.io/v1/namespaces/${name}/networkpolicies`, policy, signal)
    }
    if (namespaces.size >= mostRemembered) namespaces.clear()
    namespaces.add(name)
  }

  /** As the hub has them now; asked for again when they changed. The hub's account may lack the right, and goes on. */
  async function limit(namespace: string, { ownerLimits = {}, profile }: Spec, signal: AbortSignal): Promise<void> {
    const quota = renderQuota(hub, ownerLimits, profile.gpuResource)
    const text = JSON.stringify(quota ?? null)
    if (quota === undefined || quotas.get(namespace) === text) return
    const place = `/api/v1/namespaces/${namespace}/resourcequotas`
    try {
      const made = await once(place, withoutNulls(quota), signal)
      if (made === undefined) await api.call('PATCH', `${place}/${quotaName}`, { signal, body: quota })
    } catch (error) {
      if (!isStatus(error, 403)) throw error
      log.warn({ namespace, err: error }, 'the limits of its owner can not be set in the cluster; the hub keeps them')
    }
    if (quotas.size >= mostRemembered) quotas.clear()
    quotas.set(namespace, text)
  }

  async function makeAll(spec: Spec, pod: V1Pod, namespace: string, signal: AbortSignal): Promise<void> {
    const place = `/api/v1/namespaces/${namespace}`
    if (config.createNamespaces) await makeNamespace(namespace, spec, signal)
    if (config.createNamespaces && isOwners) await limit(namespace, spec, signal)
    for (const claim of claimsOf(spec, config)) await once(`${place}/persistentvolumeclaims`, claim, signal)
    const bootstrap = context.bootstrap(spec)
    const listen = { host: '0.0.0.0', ports: [config.agentPort, config.agentPort] as [number, number] }
    await once(`${place}/secrets`, renderSecret(spec, { ...bootstrap, listen }), signal)
    const made =
      (await once(`${place}/pods`, pod, signal)) ?? (await api.call('GET', `${place}/pods/${spec.id}`, { signal }))
    const seen = seenPodSchema.parse(made)
    if (seen.metadata.labels[label.hub] !== labelValue(hub)) {
      throw new LaunchRefused(`There is a pod ${spec.id} of somebody else in the cluster. Launch it again.`)
    }
    view.put(seen)
    await giveSecret(`${place}/secrets/${spec.id}`, seen, signal)
  }

  /** From now on the secret goes when the pod goes. */
  async function giveSecret(path: string, { metadata: { name, uid } }: SeenPod, signal: AbortSignal): Promise<void> {
    const ownerReferences = [{ apiVersion: 'v1', kind: 'Pod', name, uid }]
    await api.call('PATCH', path, { signal, body: { metadata: { ownerReferences } } })
  }

  /** Where a launch may have been cut off between secret and pod. */
  async function placesOf(id: EnvironmentId, signal: AbortSignal): Promise<readonly string[]> {
    const known = only ?? places.get(id)
    if (known !== undefined) return [known]
    if (!config.createNamespaces) return []
    // Another process began it, and is gone: a rare moment, so that it may cost more.
    const found: string[] = []
    for (let next: string | undefined = ''; next !== undefined && found.length < mostNamespaces;) {
      const query = { labelSelector: selectorOf(hub), limit: 1_000, ...(next !== '' && { continue: next }) }
      const { items, metadata } = namesSchema.parse(await api.call('GET', '/api/v1/namespaces', { signal, query }))
      found.push(...items.map((item) => item.metadata.name))
      next = metadata.continue || undefined
    }
    return found
  }

  return {
    removeSecret,
    async limitOwner(spec, namespace, signal) {
      if (!config.createNamespaces || !isOwners) return
      // Another hub may have said something else since.
      quotas.delete(namespace)
      try {
        await limit(namespace, spec, signal)
      } catch (error) {
        if (!isStatus(error, 404)) throw error
      }
    },
    async make(spec, pod, namespace, signal) {
      if (view.knows(spec.id)) return
      places.set(spec.id, namespace)
      const [oldest] = places.keys()
      if (places.size > mostRemembered && oldest !== undefined) places.delete(oldest)
      try {
        await makeAll(spec, pod, namespace, signal)
      } catch (error) {
        // It may have been removed since it was made.
        namespaces.delete(namespace)
        quotas.delete(namespace)
        throw error
      }
    },
    async remove(id, signal) {
      const pod = await view.podOf(id, signal)
      view.removing(id)
      if (pod) {
        const { namespace, uid } = pod.metadata
        // The secret goes with the pod that owns it, but for one that a launch was cut off from giving away.
        await removeOne(`/api/v1/namespaces/${namespace}/pods/${id}`, signal, { preconditions: { uid } })
        await removeSecret(id, namespace, signal)
      } else {
        const names = [...(await placesOf(id, signal))]
        for (let part = names.splice(0, atOnce); part.length > 0; part = names.splice(0, atOnce)) {
          await Promise.all(part.map(async (namespace) => await removeSecret(id, namespace, signal)))
        }
      }
      places.delete(id)
    },
  }
}

/** What is made has nothing to take away. */
function withoutNulls(value: object): object {
  const left: object = JSON.parse(JSON.stringify(value), (_, each: unknown) => (each === null ? undefined : each))
  return left
}

const namespaceSchema = z.object({
  metadata: z.object({ labels: z.record(z.string(), z.string()).default({}) }),
})
const namesSchema = z.object({
  metadata: z.object({ continue: z.string().nullish() }),
  items: z.array(z.object({ metadata: z.object({ name: z.string() }) })),
})
