/** A list's bytes → what the hub needs of it; in a thread of its own when there are many. */
import { Worker } from 'node:worker_threads'
import type { Digest, List } from './cluster.ts'
import type { DigestRequest } from './digest-thread.ts'
import { digestJobs } from './digest.ts'
import { readList } from './readers.ts'

export interface Digester {
  digest(list: List): Promise<Digest>
  close(): Promise<void>
}

/** Reading less than this takes about a millisecond; handing it over takes longer. */
const largeBytes = 256 * 1024

type Answer = Readonly<{ number: number; digest?: Digest; problem?: string }>

export function createDigester(prefix: string): Digester {
  const waiting = new Map<number, PromiseWithResolvers<Digest>>()
  let worker: Worker | undefined
  let count = 0

  function start(): Worker {
    // In a package, where Node runs no TypeScript, it is a .js file as this one is.
    const ending = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
    const started = new Worker(new URL(`./digest-thread.${ending}`, import.meta.url))
    started.unref()
    started.on('message', ({ number, digest, problem }: Answer) => {
      const asked = waiting.get(number)
      waiting.delete(number)
      if (digest === undefined) asked?.reject(new Error(`the list of jobs can't be read: ${problem ?? ''}`))
      else asked?.resolve(digest)
    })
    started.on('error', (error) => fail(started, error))
    started.on('exit', () => fail(started, new Error('the thread that reads lists ended')))
    return started
  }

  function fail(ended: Worker, error: Error): void {
    if (worker !== ended) return
    worker = undefined
    for (const asked of waiting.values()) asked.reject(error)
    waiting.clear()
  }

  return {
    async digest({ body, reader }) {
      if (body.byteLength < largeBytes) {
        return digestJobs(readList(body, reader), prefix)
      }
      worker ??= start()
      const request: DigestRequest = { number: (count += 1), reader, prefix, body }
      const asked = Promise.withResolvers<Digest>()
      waiting.set(request.number, asked)
      worker.ref()
      worker.postMessage(request, [body])
      try {
        return await asked.promise
      } finally {
        worker?.unref()
      }
    },
    async close() {
      await worker?.terminate()
    },
  }
}
