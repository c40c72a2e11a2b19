/** The user office's word, from a plug-in: an account's name, which is held to the hub's rules, or nobody's. */
import { z } from 'zod'
import type { MatchIdentity } from '../identity/users.ts'
import { unreachable } from '../identity/outside.ts'
import { answerOf } from './answer.ts'
import type { MatchingPlugin } from './plugin.ts'

const matchSchema = z.object({ account: z.string().min(1).max(64) })

export function pluginMatching(plugin: MatchingPlugin): MatchIdentity {
  return async (identity, signal) => {
    try {
      const answer: unknown = await answerOf(plugin.match(identity, signal), signal)
      return answer === undefined || answer === null ? undefined : matchSchema.parse(answer)
    } catch (error) {
      // Nobody is taken for a stranger because the user office is away.
      throw unreachable('The user office', error)
    }
  }
}
