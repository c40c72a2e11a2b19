/**
 * readCatalogue in a process of its own: a facility's whole catalogue takes seconds and more than a gigabyte, which
 * only the end of a process gives back. Started by read.ts; answers one message with one, and ends.
 */
import { z } from 'zod'
import { readCatalogue } from './document.ts'

const request = z.object({ text: z.string(), file: z.string() })

process.once('message', (message) => {
  const { text, file } = request.parse(message)
  process.send?.(readCatalogue(text, file), () => process.disconnect())
})
