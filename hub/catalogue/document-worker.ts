/** readCatalogue on a thread of its own: a facility's whole catalogue takes seconds, and a gigabyte while it does. */
import { parentPort, workerData } from 'node:worker_threads'
import { z } from 'zod'
import { readCatalogue } from './document.ts'

const { text, file } = z.object({ text: z.string(), file: z.string() }).parse(workerData)
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port, not a window
parentPort?.postMessage(readCatalogue(text, file))
