/** A token made straight in the store, while no hub runs on this state folder. */
import { randomUUID } from 'node:crypto'
import type { Configuration } from '../../config/schema.ts'
import type { Log } from '../../spawners/spawner.ts'
import { createProviders } from '../identity/providers.ts'
import { createTokens } from '../identity/tokens.ts'
import { lockStateFolder } from '../setup/lock.ts'
import { prepareStateFolder } from '../setup/state-folder.ts'
import { openStore, type Store } from '../store/index.ts'
import type { TokenWish } from './token.ts'

/** Throws StateFolderTaken when a hub runs after all, and an Error for people when there is no such user. */
export async function makeOfflineToken(configuration: Configuration, wish: TokenWish, log: Log): Promise<string> {
  const { path } = await prepareStateFolder(configuration.state)
  const lock = await lockStateFolder(path)
  try {
    const store = await openStore(configuration.database, { stateFolder: path, log })
    try {
      return await make(store, wish)
    } finally {
      await store.close()
    }
  } finally {
    lock.release()
  }
}

async function make({ db }: Store, { user, scopes, note, expiresAt }: TokenWish): Promise<string> {
  const row = await db.selectFrom('users').select('id').where('name', '=', user).executeTakeFirst()
  if (row === undefined) throw new Error(`there is no user ${user}; they are there after their first login`)
  const tokens = createTokens({
    db,
    // What a token may do is asked when it is used; making one asks neither providers nor proxies.
    providers: createProviders([]),
    routes: { revoke: () => Promise.resolve() },
    now: Date.now,
    newId: randomUUID,
  })
  const end = expiresAt === undefined ? {} : { expiresAt: new Date(expiresAt) }
  return (await tokens.create({ userId: row.id, scopes, note, ...end })).token
}
