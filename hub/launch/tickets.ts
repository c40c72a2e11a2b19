/** Whether an environment on a spawner can have Kerberos tickets, and from where. Pure. */
import type { Configuration } from '../../config/schema.ts'
import type { Spawner } from '../../spawners/spawner.ts'

export type TicketSource =
  /** Its machines have their users' by themselves. */
  | Readonly<{ is: 'site' }>
  /** The hub's credential plug-in. */
  | Readonly<{ is: 'supplied' }>
  /** `why`: one clause. */
  | Readonly<{ is: 'missing'; why: string }>

export function ticketsOn(
  { credentials, spawners }: Pick<Configuration, 'credentials' | 'spawners'>,
  name: string,
  spawner: Pick<Spawner, 'renewTickets'> | undefined,
): TicketSource {
  if (spawners[name]?.kerberos === 'site') return { is: 'site' }
  if (credentials === undefined) {
    return { is: 'missing', why: 'nothing here can supply one (credentials.plugin is not configured)' }
  }
  if (spawner?.renewTickets === undefined) {
    return {
      is: 'missing',
      why: `${name} has no way to give one to an environment (its machines must have users' tickets by themselves: kerberos: site)`,
    }
  }
  return { is: 'supplied' }
}
