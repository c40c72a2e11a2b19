/** Whom an environment can be shared with: somebody who is known here, or a group. */
import type { Kysely } from 'kysely'
import { Problem } from '../domain/problem.ts'
import type { Groups } from '../roles/groups.ts'
import type { Tables } from '../store/schema.ts'
import type { Grantee } from './share.ts'

export interface Grantees {
  /** `by`: who shares. Groups that only a login service knows of can be named by their members. */
  find(kind: Grantee['kind'], name: string, by: { readonly groups: readonly string[] }): Promise<Grantee>
}

export function createGrantees({ db, groups }: { db: Kysely<Tables>; groups: Pick<Groups, 'get'> }): Grantees {
  return {
    async find(kind, name, by) {
      switch (kind) {
        case 'user': {
          const user = await db
            .selectFrom('users')
            .select(['id', 'name', 'title'])
            .where('name', '=', name.toLowerCase())
            .executeTakeFirst()
          if (user !== undefined) return { kind, ...user }
          const detail = `There is nobody named ${JSON.stringify(name.slice(0, 64))} here. Write their user name; they must have logged in once.`
          throw new Problem('badRequest', detail, { field: 'user' })
        }
        case 'group': {
          if (by.groups.includes(name) || (await groups.get(name)) !== undefined) return { kind, name }
          const detail = `There is no group ${JSON.stringify(name.slice(0, 64))}. Write the name of one of yours, or of one that is kept here.`
          throw new Problem('badRequest', detail, { field: 'group' })
        }
      }
    },
  }
}
