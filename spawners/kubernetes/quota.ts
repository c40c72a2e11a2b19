/** The hub's limits of a user as the ResourceQuota of a namespace that is the user's own. Pure. */
import type { OwnerLimits } from '../spawner.ts'
import { label, labelValue } from './names.ts'

export const quotaName = 'hutch'

/** Undefined: nothing is limited. A limit that is taken away later is null, which a merge patch removes. */
export function renderQuota(hub: string, limits: OwnerLimits, gpuResource: string): object | undefined {
  const { cpu, memoryBytes, gpus, environments } = limits
  if ([cpu, memoryBytes, gpus, environments].every((each) => each === undefined)) return undefined
  const text = (value: number | undefined, unit = ''): string | null => (value === undefined ? null : `${value}${unit}`)
  const hard = {
    'limits.cpu': text(cpu === undefined ? undefined : Math.floor(cpu * 1_000), 'm'),
    'limits.memory': text(memoryBytes === undefined ? undefined : Math.floor(memoryBytes)),
    [`requests.${gpuResource}`]: text(gpus),
    pods: text(environments),
  }
  return {
    apiVersion: 'v1',
    kind: 'ResourceQuota',
    metadata: { name: quotaName, labels: { [label.hub]: labelValue(hub), [label.managedBy]: 'hutch' } },
    spec: { hard },
  }
}
