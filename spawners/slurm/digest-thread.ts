/** Reads large lists beside the main thread, so that nothing else of the hub waits for it. */
import { parentPort } from 'node:worker_threads'
import { digestJobs } from './digest.ts'
import { readers, type ListVersion } from './rest/readers.ts'

export interface DigestRequest {
  readonly number: number
  readonly version: ListVersion
  readonly prefix: string
  readonly body: ArrayBuffer
}

parentPort?.on('message', ({ number, version, prefix, body }: DigestRequest) => {
  try {
    const digest = digestJobs(readers[version](JSON.parse(new TextDecoder().decode(body))), prefix)
    parentPort?.postMessage({ number, digest })
  } catch (error) {
    parentPort?.postMessage({ number, problem: error instanceof Error ? error.message : String(error) })
  }
})
