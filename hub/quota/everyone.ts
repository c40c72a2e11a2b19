/** What everybody holds: read at each asking, but of each environment once what never changes. */
import type { Kysely, Transaction } from 'kysely'
import { heldIds, heldRows } from '../store/environments.ts'
import type { DatabaseType } from '../store/migrations.ts'
import type { Tables } from '../store/schema.ts'
import type { Held } from './admit.ts'
import { heldIn } from './held.ts'

export type Everyone = (db: Kysely<Tables> | Transaction<Tables>) => Promise<Held[]>

export function createEveryone(type: DatabaseType): Everyone {
  let known = new Map<string, { title: string; extensions: string; held: Held }>()

  return async (db) => {
    // Another asking may put its own in place meanwhile.
    const before = known
    const there = await heldIds(db)
    const isSame = ({ id, title, extensions }: (typeof there)[number]): boolean => {
      const one = before.get(id)
      return one?.title === title && one.extensions === extensions
    }
    const news = there.filter((each) => !isSame(each)).map(({ id }) => id)
    const read = new Map((await heldRows(db, type, news)).map((row) => [row.id, row]))
    const next = new Map<string, { title: string; extensions: string; held: Held }>()
    for (const { id } of there) {
      const row = read.get(id)
      const entry = row && { title: row.title, extensions: row.extensions, held: heldIn(row) }
      const kept = entry ?? before.get(id)
      if (kept) next.set(id, kept)
    }
    known = next
    return [...next.values()].map(({ held }) => held)
  }
}
