/** What a cluster shows → what it means: every row is what a real Kubernetes 1.34 says of such a pod. */
import test from 'ava'
import { readGone, readPod } from '../../spawners/kubernetes/read.ts'
import type { Observation } from '../../spawners/spawner.ts'
import { seenPodSchema, type SeenPod, type Word } from '../../spawners/kubernetes/seen.ts'

const createdAt = new Date('2026-11-21T10:00:00Z')
const later = (seconds: number): Date => new Date(createdAt.getTime() + seconds * 1_000)
const patience = { unschedulablePatience: 600_000, pullPatience: 20_000, mountPatience: 120_000 }

function pod(status: object, metadata: object = {}, spec: object = { nodeName: 'n1' }): SeenPod {
  return seenPodSchema.parse({
    metadata: {
      name: 'e1',
      namespace: 'hutch',
      uid: 'u',
      resourceVersion: '1',
      creationTimestamp: createdAt.toISOString(),
      ...metadata,
    },
    spec,
    status,
  })
}

const main = (state: object): object => ({ containerStatuses: [{ name: 'environment', state }] })
const ready = { conditions: [{ type: 'PodScheduled', status: 'True' }] }
const waiting = (reason: string, message = ''): object => ({
  phase: 'Pending',
  ...ready,
  ...main({ waiting: { reason, message } }),
})
const unschedulable = {
  phase: 'Pending',
  conditions: [
    { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: '0/1 nodes: Insufficient cpu.' },
  ],
}
const disrupted = (reason: string): object => ({
  conditions: [{ type: 'DisruptionTarget', status: 'True', reason, message: 'why' }],
})
const word = (reason: string, message: string, since = 0): [string, Word] => [
  reason,
  { reason, message, at: later(since), since: later(since) },
]

interface Row {
  readonly title: string
  readonly status: object
  readonly metadata?: object
  readonly words?: readonly [string, Word][]
  readonly atSeconds?: number
  readonly says: readonly [phase: Observation['phase'], what?: string, message?: RegExp]
}

const rows: readonly Row[] = [
  { title: 'just made', status: { phase: 'Pending' }, says: ['pending', 'scheduling'] },
  {
    title: 'no node has room',
    status: unschedulable,
    says: ['pending', 'queued', /No machine has room for it now: 0\/1 nodes: Insufficient cpu/],
  },
  {
    title: 'no node has room, for ever',
    status: unschedulable,
    atSeconds: 601,
    says: ['ended', 'launchRefused', /Choose a smaller size/],
  },
  {
    title: 'no node has room, and one is being added',
    status: unschedulable,
    atSeconds: 601,
    words: [word('TriggeredScaleUp', 'pod triggered scale-up')],
    says: ['pending', 'scheduling', /adding a machine/],
  },
  {
    title: 'the image is being fetched',
    status: waiting('ContainerCreating'),
    words: [word('Scheduled', ''), word('Pulling', 'Pulling image "repo/x:1"', 1)],
    says: ['pending', 'pulling', /"repo\/x:1"/],
  },
  {
    title: 'an image that fails once may be a hiccup',
    status: waiting('ErrImagePull', 'no such host'),
    words: [word('Failed', 'x', 5)],
    atSeconds: 10,
    says: ['pending', 'pulling', /no such host/],
  },
  {
    title: 'an image that fails for long',
    status: waiting('ImagePullBackOff', 'Back-off pulling'),
    words: [word('Failed', 'x', 5)],
    atSeconds: 26,
    says: ['ended', 'launchRefused', /The image can't be had: Back-off pulling/],
  },
  {
    title: 'a wrong name of an image',
    status: waiting('InvalidImageName', 'couldn’t parse'),
    says: ['ended', 'launchRefused', /name of the image is wrong/],
  },
  {
    title: 'an image that is not there and may not be pulled',
    status: waiting('ErrImageNeverPull'),
    says: ['ended', 'launchRefused', /may not be pulled/],
  },
  {
    title: 'a directory that is not there yet',
    status: waiting('ContainerCreating'),
    words: [word('FailedMount', 'MountVolume.SetUp failed for volume "mount-1"', 3)],
    atSeconds: 10,
    says: ['pending', 'mounting', /can't be mounted: MountVolume/],
  },
  {
    title: 'a directory that is never there',
    status: waiting('ContainerCreating'),
    words: [word('FailedMount', 'MountVolume.SetUp failed', 3)],
    atSeconds: 124,
    says: ['ended', 'launchRefused', /can't be mounted/],
  },
  {
    title: 'it runs',
    status: { phase: 'Running', podIP: '10.1.0.5', ...main({ running: { startedAt: later(5).toISOString() } }) },
    says: ['running'],
  },
  {
    title: 'it is being stopped',
    status: { phase: 'Running', ...main({ running: { startedAt: later(5).toISOString() } }) },
    metadata: { deletionTimestamp: later(9).toISOString() },
    says: ['stopping'],
  },
  {
    title: 'it ended',
    status: { phase: 'Succeeded', ...main({ terminated: { exitCode: 0 } }) },
    says: ['ended', 'completed'],
  },
  {
    title: 'it failed',
    status: { phase: 'Failed', ...main({ terminated: { exitCode: 3, reason: 'Error' } }) },
    says: ['ended', 'failed', /^It ended with exit code 3$/],
  },
  {
    title: 'out of memory',
    status: { phase: 'Failed', ...main({ terminated: { exitCode: 137, reason: 'OOMKilled' } }) },
    says: ['ended', 'outOfMemory', /more memory/],
  },
  {
    title: 'out of memory beside a sidecar that runs on',
    status: { phase: 'Running', ...main({ terminated: { exitCode: 137, reason: 'OOMKilled' } }) },
    says: ['ended', 'outOfMemory'],
  },
  {
    title: 'evicted by the kubelet',
    status: { phase: 'Failed', reason: 'Evicted', message: 'The node was low on resource: memory.' },
    says: ['ended', 'evicted', /low on resource: memory/],
  },
  { title: 'a node that shuts down', status: { phase: 'Failed', reason: 'Terminated' }, says: ['ended', 'nodeLost'] },
  {
    title: 'preempted',
    status: { phase: 'Failed', ...disrupted('PreemptionByScheduler') },
    says: ['ended', 'preempted'],
  },
  {
    title: 'what prepares it fails',
    status: {
      phase: 'Failed',
      initContainerStatuses: [{ name: 'hutch-agent', state: { terminated: { exitCode: 1 } } }],
      ...main({ waiting: { reason: 'PodInitializing' } }),
    },
    says: ['ended', 'failed', /\(hutch-agent\) ended with exit code 1/],
  },
]

for (const { title, status, metadata, words = [], atSeconds = 1, says } of rows) {
  test(`kubernetes, a pod: ${title}`, (t) => {
    const seen = readPod(pod(status, metadata), new Map(words), later(atSeconds), patience)
    const [phase, what, message] = says
    t.is(seen.phase, phase)
    if (what !== undefined) t.is('stage' in seen ? seen.stage : 'reason' in seen ? seen.reason : '', what)
    if (message) t.regex('message' in seen ? seen.message : '', message)
  })
}

test('kubernetes: where it runs, and when it ends', (t) => {
  const status = { phase: 'Running', podIP: '10.1.0.5', ...main({ running: { startedAt: later(5).toISOString() } }) }
  const annotations = { 'hutch.dev/walltime-ms': '60000' }
  const first = readPod(pod(status, { annotations }), new Map(), later(9), patience)
  t.like(first, { phase: 'running', hosts: ['10.1.0.5'], startedAt: later(5), endsAt: later(65) })
  const moved = { ...annotations, 'hutch.dev/ends-at': later(500).toISOString() }
  t.like(readPod(pod(status, { annotations: moved }), new Map(), later(9), patience), { endsAt: later(500) })
})

const goings = [
  ['EvictionByEvictionAPI', 'evicted'],
  ['DeletionByTaintManager', 'nodeLost'],
  ['DeletionByPodGC', 'nodeLost'],
  ['PreemptionByScheduler', 'preempted'],
  ['TerminationByKubelet', 'evicted'],
] as const

for (const [reason, ends] of goings) {
  test(`kubernetes, a pod that was taken away: ${reason}`, (t) => {
    t.is(readGone(pod({ phase: 'Running', ...disrupted(reason) }))?.reason, ends)
  })
}

test('kubernetes, a pod that somebody deleted says nothing of why', (t) => {
  t.is(readGone(pod({ phase: 'Running' })), undefined)
  const deleted = { deletionTimestamp: later(9).toISOString() }
  t.is(readGone(pod({ phase: 'Succeeded', ...main({ terminated: { exitCode: 0 } }) }, deleted)), undefined)
})
