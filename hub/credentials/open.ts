/** Kerberos tickets, put together: the facility's plug-in, what spawners ask it for, and renewal. For hub/main.ts. */
import type { Configuration } from '../../config/schema.ts'
import type { Log, Spawner } from '../../spawners/spawner.ts'
import { pluginTickets } from '../plugins/credentials.ts'
import { makePlugin, type MakePluginOptions } from '../plugins/resolve.ts'
import type { Reconciled } from '../reconcile/index.ts'
import { realTimers } from '../reconcile/timers.ts'
import { createCredentials, type Credentials } from './index.ts'
import { createRenewals } from './renewals.ts'

/** Undefined: nothing supplies any. What it opens is closed with `opened`. */
export async function openCredentials(
  { credentials }: Pick<Configuration, 'credentials'>,
  tools: MakePluginOptions,
  opened: AsyncDisposableStack,
): Promise<Credentials | undefined> {
  if (credentials === undefined) return undefined
  const plugin = await makePlugin('credentials', credentials.plugin, tools)
  opened.defer(async () => await plugin.close?.())
  return createCredentials({ ...tools, ticketsOf: pluginTickets(plugin) })
}

interface Renewed extends Pick<Reconciled, 'environments' | 'leads'> {
  readonly credentials: Credentials
  readonly spawners: ReadonlyMap<string, { readonly spawner: Spawner }>
  readonly now: () => Date
  readonly log: Log
}

/** Of what runs, until `opened` is closed. */
export function renewTickets({ environments, spawners, ...rest }: Renewed, opened: AsyncDisposableStack): void {
  const renewals = createRenewals({
    ...rest,
    live: () => environments.live(),
    spawners: new Map([...spawners].map(([name, { spawner }]) => [name, spawner])),
    timers: realTimers,
  })
  renewals.start()
  opened.defer(() => renewals.close())
}
