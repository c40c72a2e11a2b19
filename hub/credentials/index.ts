/** Kerberos tickets for environments whose data want them: had at the launch, and again before they end. */
import { LaunchRefused, type Account, type EnvironmentSpec, type Log } from '../../spawners/spawner.ts'

interface Tickets {
  /** The bytes of a credential cache file. */
  readonly cache: Buffer
  readonly endsAt: Date
}

/** Undefined: this account can have none. Throws when that can't be told. */
export type TicketsOf = (account: Account, signal: AbortSignal) => Promise<Tickets | undefined>

export interface Credentials {
  /** @throws LaunchRefused where there are none for this account; anything else may pass. */
  tickets(spec: Pick<EnvironmentSpec, 'id' | 'account'>, signal: AbortSignal): Promise<Buffer>
  /** When those of this environment are to be had anew, ms since the epoch; 0: this process gave it none. */
  dueAt(id: string): number
  /** After a failure. */
  putOff(id: string, untilMs: number): void
  /** Calls back (one alone) when an environment's tickets were had. */
  follow(given: () => void): void
  /** Of what lives no more. */
  keepOnly(ids: ReadonlySet<string>): void
}

export interface CredentialsOptions {
  readonly ticketsOf: TicketsOf
  readonly now: () => Date
  readonly log: Log
}

/** Shorter ones end before a program has done anything with them. */
const shortestMs = 5_000

export function createCredentials({ ticketsOf, now, log }: CredentialsOptions): Credentials {
  const due = new Map<string, number>()
  let tell = (): void => undefined
  return {
    async tickets({ id, account }, signal) {
      const tickets = await ticketsOf(account, signal)
      if (tickets === undefined) {
        throw new LaunchRefused(
          `There is no Kerberos ticket for the account ${account.name}, and its data want one. Ask your administrator.`,
        )
      }
      const { cache, endsAt } = tickets
      const leftMs = endsAt.getTime() - now().getTime()
      if (leftMs < shortestMs) throw new Error(`the tickets of ${account.name} are over at ${endsAt.toISOString()}`)
      // In the middle of their time: as much is left for trying again.
      due.set(id, now().getTime() + leftMs / 2)
      log.info({ environment: id, account: account.name, endsAt }, 'Kerberos tickets were supplied')
      tell()
      return cache
    },
    dueAt: (id) => due.get(id) ?? 0,
    putOff: (id, untilMs) => void due.set(id, untilMs),
    follow(given) {
      tell = given
    },
    keepOnly(ids) {
      for (const id of due.keys()) if (!ids.has(id)) due.delete(id)
    },
  }
}
