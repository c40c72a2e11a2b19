/** Reads large lists beside the main thread, so that nothing else of the hub waits for it. */
import { parentPort } from 'node:worker_threads'
import type { Digest } from './cluster.ts'
import { digestJobs } from './digest.ts'
import { readList, type ListReader } from './readers.ts'

export interface DigestRequest {
  readonly number: number
  readonly reader: ListReader
  readonly prefix: string
  readonly body: ArrayBuffer
}

parentPort?.on('message', (request: DigestRequest) => {
  const answer = { number: request.number, ...answerTo(request) }
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has none
  parentPort?.postMessage(answer)
})

function answerTo({ reader, prefix, body }: DigestRequest): { digest: Digest } | { problem: string } {
  try {
    return { digest: digestJobs(readList(body, reader), prefix) }
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) }
  }
}
