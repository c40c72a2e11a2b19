/** A fake of `Environments.launch`: rows in an array instead of a database and a loop. For tests of what makes rows. */
import type { Choices, Environment } from '../../hub/domain/environment.ts'
import type { Environments } from '../../hub/domain/services.ts'
import type { NewEnvironment } from '../../hub/store/schema.ts'
import { type EnvironmentSpec, isEnvironmentId } from '../../spawners/spawner.ts'

export interface FakeEnvironments extends Pick<Environments, 'launch' | 'extend'> {
  readonly rows: readonly NewEnvironment[]
}

export function createFakeEnvironments(): FakeEnvironments {
  const rows: NewEnvironment[] = []
  // Nothing may come between looking and writing, as in a transaction.
  let last: Promise<unknown> = Promise.resolve()
  return {
    rows,
    extend: () => Promise.reject(new Error('nothing is made longer here')),
    launch(row, admit, { also } = {}) {
      const launched = last.then(async () => {
        const live = rows.filter((each) => each.user_id === row.user_id).map(read)
        // Limits of one person look at what they hold, and ask no database.
        await admit(live, { trx: {} as never, limits: null, together: false })
        rows.push(row)
        const told = await also?.({} as never)
        told?.()
        return read(row)
      })
      last = launched.catch(() => undefined)
      return launched
    },
  }
}

function read(row: NewEnvironment): Environment {
  if (!isEnvironmentId(row.id)) throw new Error(`not an environment's id: ${row.id}`)
  const spec = JSON.parse(row.spec) as EnvironmentSpec
  return {
    id: row.id,
    userId: row.user_id,
    owner: spec.owner,
    server: row.server,
    title: row.title,
    spawner: row.spawner,
    profile: row.profile,
    flavour: row.flavour,
    proposals: JSON.parse(row.proposals) as string[],
    groups: [],
    extensions: [],
    choices: JSON.parse(row.choices) as Choices,
    spec,
    wanted: { is: 'present' },
    state: { is: 'starting', stage: 'accepted', message: '' },
    requestedAt: new Date(row.requested_at),
  }
}
