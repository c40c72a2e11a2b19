/** Whether a pod gets the account's groups and no others: only nodes that can do so take a pod that asks for it. */
import { z } from 'zod'
import type { Log } from '../spawner.ts'
import { ApiError, type Api } from './api.ts'
import type { KubernetesConfig } from './config.ts'

export type GroupsPolicy = 'Strict' | 'Merge'

interface GroupsPolicyOptions {
  readonly api: Api
  readonly config: Pick<KubernetesConfig, 'supplementalGroupsPolicy'>
  readonly log: Log
  /** ms of a clock that only goes forward. */
  readonly now: () => number
}

const askedEveryMs = 10 * 60_000
const mostNodes = 5_000

/** As configured; `auto`: what every node can do. Asked for launches alone, and not oftener than every ten minutes. */
export function createGroupsPolicy(options: GroupsPolicyOptions): (signal: AbortSignal) => Promise<GroupsPolicy> {
  const { api, config, log, now } = options
  const { supplementalGroupsPolicy: wanted } = config
  let known: { policy: GroupsPolicy; at: number } | undefined

  async function ask(signal: AbortSignal): Promise<GroupsPolicy> {
    try {
      const query = { limit: mostNodes, resourceVersion: '0' }
      return policyOf(nodesSchema.parse(await api.call('GET', '/api/v1/nodes', { signal, query })).items)
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 403) throw error
      log.info({ err: error }, 'supplementalGroupsPolicy: nodes may not be looked at, so it is Merge')
      return 'Merge'
    }
  }

  return async (signal) => {
    if (wanted !== 'auto') return wanted
    if (known === undefined || now() - known.at > askedEveryMs) known = { policy: await ask(signal), at: now() }
    return known.policy
  }
}

/** One node that can't do it may be the one that is chosen: it would refuse the pod. */
export function policyOf(nodes: readonly z.output<typeof nodeSchema>[]): GroupsPolicy {
  const can = nodes.every(({ status }) => status.features?.supplementalGroupsPolicy === true)
  return nodes.length > 0 && can ? 'Strict' : 'Merge'
}

const nodeSchema = z.object({
  status: z.object({ features: z.object({ supplementalGroupsPolicy: z.boolean().nullish() }).nullish() }),
})
const nodesSchema = z.object({ items: z.array(nodeSchema) })
