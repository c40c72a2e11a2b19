/**
 * What Jupyter tells of its kernels and terminals. Its own `last_activity` in /api/status is no evidence: it counts
 * the requests by which an open tab asks for lists.
 */
import { request } from 'node:http'
import type { Activity } from './activity.ts'
import type { Upstream } from './upstream.ts'

const timeoutMs = 10_000
const leastIntervalMs = 5_000
const longestAnswerBytes = 4 * 1024 * 1024

interface Listed {
  readonly execution_state?: unknown
  readonly last_activity?: unknown
}

/** A function that asks and notes what is told; called more often than every 5 s it does nothing. */
export function createJupyterWatch(
  { to, prefix }: { to: Upstream['to']; prefix: string },
  activity: Activity,
): () => Promise<void> {
  let askedAtMs = -Infinity
  return async () => {
    if (performance.now() - askedAtMs < leastIntervalMs) return
    askedAtMs = performance.now()
    for (const path of ['api/kernels', 'api/terminals']) noteActivity(await ask(to, prefix + path), activity)
  }
}

/** A busy kernel is activity now; otherwise the newest message of a kernel or output of a terminal is. */
export function noteActivity(answer: unknown, activity: Activity): void {
  if (!Array.isArray(answer)) return
  for (const each of answer as readonly (Listed | null)[]) {
    if (each?.execution_state === 'busy') activity.touch()
    else if (typeof each?.last_activity === 'string') activity.touch(new Date(each.last_activity))
  }
}

/** Undefined when there is no such list, or no answer in time. */
function ask(to: Upstream['to'], path: string): Promise<unknown> {
  return new Promise((resolve) => {
    const headers = { host: 'localhost', accept: 'application/json' }
    const asking = request({ ...to, path, agent: false, headers }, (answer) => {
      const chunks: Buffer[] = []
      let bytes = 0
      answer.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        if (bytes > longestAnswerBytes) asking.destroy()
        else chunks.push(chunk)
      })
      answer.on('end', () => resolve(answer.statusCode === 200 ? parse(Buffer.concat(chunks).toString()) : undefined))
      answer.on('error', () => resolve(undefined))
    })
    asking.setTimeout(timeoutMs, () => asking.destroy())
    asking.on('error', () => resolve(undefined))
    asking.on('close', () => resolve(undefined))
    asking.end()
  })
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
