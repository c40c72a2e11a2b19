/** A token made straight in the store, while no hub runs on this state folder. */
import { randomUUID } from 'node:crypto'
import type { Configuration } from '../../config/schema.ts'
import type { Log } from '../../spawners/spawner.ts'
import type { TokenRequest } from '../control.ts'

import { createTokenMaker } from '../identity/token-maker.ts'
import { createTokens } from '../identity/tokens.ts'
import type { Store } from '../store/index.ts'
import { offline } from './offline.ts'

/** Throws StateFolderTaken when a hub runs after all, and a Problem when there is no such user. */
export async function makeOfflineToken(configuration: Configuration, wish: TokenRequest, log: Log): Promise<string> {
  return await offline(configuration, log, (store) => make(store, wish))
}

async function make({ db }: Store, wish: TokenRequest): Promise<string> {
  const tokens = createTokens({
    db,
    // What a token may do is asked when it is used; making one asks neither providers nor proxies.
    vouching: { of: () => Promise.resolve(undefined) },
    routes: { revoke: () => Promise.resolve() },
    now: Date.now,
    newId: randomUUID,
  })
  return await createTokenMaker({ db, tokens })(wish)
}
