/** The spawner of one cluster: one pod with its secret for each environment, followed by one list and one watch. */
import { z } from 'zod'
import {
  LaunchRefused,
  type EnvironmentId,
  type EnvironmentSpec,
  type Spawner,
  type SpawnerContext,
} from '../spawner.ts'
import { oneLine } from '../common/oneLine.ts'
import type { Api } from './api.ts'
import type { KubernetesConfig } from './config.ts'
import { createGroupsPolicy } from './groups-policy.ts'
import { annotation, isManyNamespaces, mainContainer, namespaceOf } from './names.ts'
import { createObjects } from './objects.ts'
import type { KubernetesProfile } from './profile.ts'
import { asRefusal } from './refusal.ts'
import { renderPod } from './render.ts'
import { seenPodSchema } from './seen.ts'
import { createView } from './view.ts'

type Spec = EnvironmentSpec<KubernetesProfile>

export async function createKubernetes(
  config: KubernetesConfig,
  context: SpawnerContext,
  api: Api,
): Promise<Spawner<KubernetesProfile>> {
  const life = new AbortController()
  const { hub, log, now } = context
  const listeners = new Set<(id: EnvironmentId) => void>()
  const namespace = isManyNamespaces(config.namespace) ? undefined : namespaceOf(config.namespace, nobodyOf(hub))
  const view = createView({
    api,
    config,
    hub,
    namespace,
    changed(id) {
      for (const listener of listeners) listener(id)
    },
    log,
    now,
    signal: life.signal,
  })
  const objects = createObjects({ api, config, context, view, namespace })
  const groupsPolicy = createGroupsPolicy({ api, config, log, now: () => performance.now() })

  async function pathOf(id: EnvironmentId, signal: AbortSignal): Promise<string | undefined> {
    const place = namespace ?? (await view.podOf(id, signal))?.metadata.namespace
    return place === undefined ? undefined : `/api/v1/namespaces/${place}/pods/${id}`
  }

  return {
    heedsBeneath: true,
    async ensure(spec, signal) {
      if (spec.hub !== hub) throw new Error(`a bug: ${spec.id} is of the hub ${spec.hub}`)
      const pod = renderPod(spec, { ...config, supplementalGroupsPolicy: await groupsPolicy(signal) })
      const place = namespaceOf(config.namespace, spec)
      try {
        await objects.make(spec, pod, place, signal)
      } catch (error) {
        const said = asRefusal(error)
        // The loop asks no more for what was refused for good: its secret would stay.
        if (said instanceof LaunchRefused) await objects.removeSecret(spec.id, place, signal)
        throw said
      }
    },

    observe: (signal) => view.observe(signal),

    async remove(id, signal) {
      signal.throwIfAborted()
      await objects.remove(id, signal)
    },

    async logs(id, signal) {
      signal.throwIfAborted()
      const path = await pathOf(id, signal)
      if (path === undefined) return ''
      return await api.tail(`${path}/log`, mostLogBytes, {
        signal,
        query: { container: mainContainer, tailLines: mostLogLines },
      })
    },

    async extend(id, endsAt, signal) {
      const path = await pathOf(id, signal)
      if (path === undefined) throw new Error(`${id} is not in the cluster`)
      const body = { metadata: { annotations: { [annotation.endsAt]: endsAt.toISOString() } } }
      view.put(seenPodSchema.parse(await api.call('PATCH', path, { signal, body })))
    },

    limitOwner: (spec, signal) => objects.limitOwner(spec, namespaceOf(config.namespace, spec), signal),

    async watch(changed, signal) {
      signal.throwIfAborted()
      listeners.add(changed)
      view.heed()
      const over = AbortSignal.any([signal, life.signal])
      await new Promise<void>((resolve) => over.addEventListener('abort', () => resolve(), { once: true }))
      listeners.delete(changed)
    },

    watchAgeMs: () => view.ageMs(),

    async check(signal) {
      const answer = await api.call('GET', '/version', { signal }).catch(() => undefined)
      const { success, data } = versionSchema.safeParse(answer)
      if (!success) return { ok: false, message: 'The cluster does not answer.' }
      const trouble = view.trouble()
      if (trouble !== undefined) {
        return { ok: false, message: `The cluster does not show its pods: ${oneLine(trouble)}.` }
      }
      const seconds = Math.round((view.ageMs() ?? 0) / 1_000)
      const watching = view.isCurrent() ? `last heard of ${seconds} s ago` : 'its watch is being opened'
      return { ok: true, message: `Kubernetes ${data.gitVersion}, ${view.count()} environments, ${watching}.` }
    },

    async close() {
      life.abort()
      await view.done
      await api.close()
    },
  }
}

/** Where every environment has the same namespace, it is nobody's. */
function nobodyOf(hub: string): Pick<Spec, 'hub' | 'owner' | 'account'> {
  return { hub, owner: '', account: { name: '', uid: 0, gid: 0, groups: [], home: '', shell: '' } }
}

const versionSchema = z.object({ gitVersion: z.string() })
const mostLogBytes = 64 * 1_024
const mostLogLines = 5_000
