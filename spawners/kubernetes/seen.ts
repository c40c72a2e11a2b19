/** What of a pod and of an event is read: the rest is thrown away at once, as thousands of them are kept. */
import { z } from 'zod'

const time = z.iso.datetime({ offset: true }).transform((text) => new Date(text))

const containerState = z.object({
  waiting: z.object({ reason: z.string().default(''), message: z.string().default('') }).nullish(),
  running: z.object({ startedAt: time.optional() }).nullish(),
  terminated: z
    .object({
      exitCode: z.int(),
      reason: z.string().default(''),
      message: z.string().default(''),
      startedAt: time.nullish(),
      finishedAt: time.nullish(),
    })
    .nullish(),
})

const containerStatus = z.object({
  name: z.string(),
  state: containerState.default({}),
  restartCount: z.int().default(0),
})

export const seenPodSchema = z.object({
  metadata: z.object({
    name: z.string(),
    namespace: z.string(),
    uid: z.string(),
    resourceVersion: z.string(),
    creationTimestamp: time,
    deletionTimestamp: time.nullish(),
    labels: z.record(z.string(), z.string()).default({}),
    annotations: z.record(z.string(), z.string()).default({}),
  }),
  spec: z.object({ nodeName: z.string().nullish() }).default({}),
  status: z
    .object({
      phase: z.string().default('Pending'),
      reason: z.string().nullish(),
      message: z.string().nullish(),
      podIP: z.string().nullish(),
      podIPs: z.array(z.object({ ip: z.string() })).nullish(),
      startTime: time.nullish(),
      conditions: z
        .array(
          z.object({
            type: z.string(),
            status: z.string(),
            reason: z.string().nullish(),
            message: z.string().nullish(),
            lastTransitionTime: time.nullish(),
          }),
        )
        .nullish(),
      initContainerStatuses: z.array(containerStatus).nullish(),
      containerStatuses: z.array(containerStatus).nullish(),
    })
    .default({ phase: 'Pending' }),
})

export type SeenPod = z.output<typeof seenPodSchema>
export type SeenContainer = z.output<typeof containerStatus>

export const seenEventSchema = z.object({
  metadata: z.object({ name: z.string(), namespace: z.string(), resourceVersion: z.string() }),
  involvedObject: z.object({ name: z.string().default(''), uid: z.string().default('') }),
  reason: z.string().nullish(),
  message: z.string().nullish(),
  type: z.string().nullish(),
  lastTimestamp: time.nullish(),
  eventTime: time.nullish(),
  firstTimestamp: time.nullish(),
})

export type SeenEvent = z.output<typeof seenEventSchema>

/** The last thing that the cluster said of a pod that is not there yet. */
export interface Word {
  readonly reason: string
  readonly message: string
  readonly at: Date
  /** When the same was said first without anything else in between: how long it has been going on. */
  readonly since: Date
}
