/** Messages by a plug-in, in the place of a mail server: the same queue, the same retries. */
import { z } from 'zod'
import type { Send } from '../notify/index.ts'
import { answerOf } from './answer.ts'
import type { NotifierPlugin } from './plugin.ts'

const sendMs = 20_000

const handedSchema = z.discriminatedUnion('is', [
  z.object({ is: z.literal('sent') }),
  z.object({ is: z.literal('failed'), message: z.string().max(2_000), permanent: z.boolean() }),
])

export function pluginSend(plugin: NotifierPlugin): Send {
  return async ({ id, to, subject, text }) => {
    const signal = AbortSignal.timeout(sendMs)
    try {
      return handedSchema.parse(await answerOf(plugin.send({ id, to, subject, text }, signal), signal))
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      return { is: 'failed', message: `the notifier failed: ${message}`.slice(0, 500), permanent: false }
    }
  }
}
