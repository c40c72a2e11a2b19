/** The user office as a JSON file: {"<issuer> <subject>": "<account>"}. */
import { readFile } from 'node:fs/promises'
import { z } from 'zod'

export default {
  kind: 'matching',
  optionsSchema: z.object({ file: z.string() }),
  create: ({ file }) => ({
    async match({ issuer, subject }) {
      const account = JSON.parse(await readFile(file, 'utf8'))[`${issuer} ${subject}`]
      return account === undefined ? undefined : { account }
    },
  }),
}
