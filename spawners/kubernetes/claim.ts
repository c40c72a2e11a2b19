/** What a persistent volume claim asks for, of homes and of profiles alike; and the words that Kubernetes has for both. */
import { z } from 'zod'

export const labels = z.record(z.string().max(317), z.string().max(63))
export const annotations = z.record(z.string(), z.string())
/** Passed on as it is: the cluster checks it, and its answer names the field. */
export const object = z.looseObject({})
export const quantity = z.string().regex(/^[0-9.]+(m|[kKMGTPE]i?)?$/, 'must be a quantity such as 500m or 2Gi')

export const claimFields = {
  storageClass: z.string().optional().describe('Default: the cluster’s own.'),
  size: quantity.describe('What is asked for.'),
  labels: labels.default({}).describe('Of the claim. Default: none.'),
  annotations: annotations.default({}).describe('Of the claim. Default: none.'),
  selector: object.optional().describe('Which volumes it may be bound to, as in a claim. Default: any.'),
}

const claim = z.object({ ...claimFields, accessModes: z.array(z.string()) })

/** The claim's own part, without its name. */
export function claimBody({ storageClass, size, labels: own, annotations: notes, selector, accessModes }: Claim): {
  readonly metadata: object
  readonly spec: object
} {
  return {
    metadata: {
      ...(Object.keys(own).length > 0 && { labels: own }),
      ...(Object.keys(notes).length > 0 && { annotations: notes }),
    },
    spec: {
      accessModes,
      resources: { requests: { storage: size } },
      ...(storageClass !== undefined && { storageClassName: storageClass }),
      ...(selector !== undefined && { selector }),
    },
  }
}

type Claim = z.output<typeof claim>
