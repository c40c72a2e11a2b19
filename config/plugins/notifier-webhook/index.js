/** Example of a plug-in: each message is posted as JSON to an address of the facility, with a token from a file. */
import { z } from 'zod'

const optionsSchema = z.strictObject({
  url: z
    .url({ protocol: /^https?$/ })
    .describe('Where {id, to, subject, text} is posted to; 2xx says that it was taken.'),
  tokenFile: z.string().startsWith('/', 'must be an absolute path').optional().describe('A file that holds the token.'),
})

export default {
  kind: 'notifier',
  optionsSchema,
  async create({ url, tokenFile }, { fetch, readSecret }) {
    const token = tokenFile === undefined ? undefined : await readSecret(tokenFile)
    return {
      async send(message, signal) {
        const answer = await fetch(url, {
          method: 'POST',
          redirect: 'error',
          headers: {
            'content-type': 'application/json',
            // Tried again with the same key: whoever has it already takes it for the same.
            'idempotency-key': message.id,
            ...(token && { authorization: `Bearer ${token}` }),
          },
          body: JSON.stringify(message),
          signal,
        })
        await answer.body?.cancel()
        if (answer.ok) return { is: 'sent' }
        // Whoever says that this message is wrong says so tomorrow too; anything else may pass.
        const permanent = answer.status === 400 || answer.status === 422
        return { is: 'failed', message: `the address answered ${answer.status}`, permanent }
      },
    }
  },
}
