/** What events say of pods that are on their way, by pod and reason; forgotten when they run. Bounded. */
import type { SeenEvent, Word } from './seen.ts'

export interface Words {
  /** True when it is news. */
  said(event: SeenEvent): boolean
  of(pod: string): ReadonlyMap<string, Word>
  forget(pod: string): void
}

const mostPods = 5_000
const mostReasons = 30
const nothing: ReadonlyMap<string, Word> = new Map()

export function createWords(): Words {
  const words = new Map<string, Map<string, Word>>()
  return {
    said(event) {
      const { name } = event.involvedObject
      const { reason, message } = event
      const at = event.lastTimestamp ?? event.eventTime ?? event.firstTimestamp
      if (!reason || !at) return false
      const ofPod = words.get(name) ?? new Map<string, Word>()
      const before = ofPod.get(reason)
      if (before && before.at >= at && before.message === (message ?? '')) return false
      if (before === undefined && ofPod.size >= mostReasons) return false
      ofPod.set(reason, { reason, message: message ?? '', at, since: before?.since ?? event.firstTimestamp ?? at })
      words.delete(name)
      words.set(name, ofPod)
      const [oldest] = words.keys()
      if (words.size > mostPods && oldest !== undefined) words.delete(oldest)
      return true
    },
    of: (pod) => words.get(pod) ?? nothing,
    forget: (pod) => void words.delete(pod),
  }
}
