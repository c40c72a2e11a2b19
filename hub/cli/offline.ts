/** The store of a hub that does not run, for one command. */
import type { Configuration } from '../../config/schema.ts'
import type { Log } from '../../spawners/spawner.ts'
import { lockStateFolder } from '../setup/lock.ts'
import { prepareStateFolder } from '../setup/state-folder.ts'
import { openStore, type Store } from '../store/index.ts'

/** Throws StateFolderTaken when a hub runs after all. */
export async function offline<T>(
  configuration: Configuration,
  log: Log,
  work: (store: Store) => Promise<T>,
): Promise<T> {
  const { path } = await prepareStateFolder(configuration.state)
  const lock = await lockStateFolder(path)
  try {
    const store = await openStore(configuration.database, { stateFolder: path, log })
    try {
      return await work(store)
    } finally {
      await store.close()
    }
  } finally {
    lock.release()
  }
}
