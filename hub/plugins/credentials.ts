/** Ticket caches from a plug-in: whose they are and until when they are good is read from them, and not believed. */
import { readTicketCache } from '../credentials/ticket-cache.ts'
import type { TicketsOf } from '../credentials/index.ts'
import { answerOf } from './answer.ts'
import type { CredentialsPlugin } from './plugin.ts'

export function pluginTickets(plugin: CredentialsPlugin): TicketsOf {
  return async ({ name, uid }, signal) => {
    const answer: unknown = await answerOf(plugin.ticketCache({ name, uid }, signal), signal)
    if (answer === undefined || answer === null) return undefined
    if (!(answer instanceof Uint8Array)) throw new Error('the plug-in answered with something else than bytes')
    const { principal, endsAt } = readTicketCache(answer)
    // Whose they are is not the plug-in's to say: with another's tickets another's data could be read.
    if (principal.components.length !== 1 || principal.components[0] !== name) {
      throw new Error(`the plug-in was asked for tickets of ${name} and answered with those of another principal`)
    }
    return { cache: Buffer.from(answer), endsAt }
  }
}
