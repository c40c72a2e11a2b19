/** Accounts from a plug-in: what it answers is looked at before anything is made of it. */
import { z } from 'zod'
import type { AccountSource } from '../accounts/index.ts'
import { answerOf } from './answer.ts'
import type { AccountPlugin } from './plugin.ts'

const id = z
  .int()
  .min(0)
  .max(2 ** 32 - 2)

const accountSchema = z.object({
  name: z.string(),
  uid: id,
  gid: id,
  groups: z.array(z.object({ name: z.string().max(255), gid: id })).max(65_536),
  home: z.string().startsWith('/').max(4_096),
  shell: z.string().startsWith('/').max(4_096),
  fullName: z.string().max(1_000).optional(),
})

export function pluginAccounts(plugin: AccountPlugin): AccountSource {
  return {
    async find(name, signal) {
      const answer: unknown = await answerOf(plugin.find(name, signal), signal)
      if (answer === undefined || answer === null) return undefined
      const account = accountSchema.parse(answer)
      // Whose account it is is not the plug-in's to say.
      if (account.name !== name) throw new Error(`the plug-in was asked for ${name} and answered with another account`)
      const { fullName, ...rest } = account
      return fullName === undefined ? rest : { ...rest, fullName }
    },
  }
}
