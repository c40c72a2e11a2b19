/** Very many people who are logged in: written beside the running hub, as their logins would have been. */
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

export interface StormPerson {
  readonly name: string
  /** What the browser's cookie holds. */
  readonly login: string
}

/** Names that the configuration of accounts and the users' rows agree on. */
export function stormNames(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `p${String(index).padStart(4, '0')}`)
}

const lifetimeMs = 86_400_000

/** `state`: of a hub where somebody has logged in once, so that its provider is known. */
export function writePeople(state: string, names: readonly string[]): StormPerson[] {
  const database = new DatabaseSync(join(state, 'hutch.sqlite'), { timeout: 10_000 })
  try {
    const known = database.prepare('select issuer from identities limit 1').get() as { issuer: string } | undefined
    if (known === undefined) throw new Error('nobody has ever logged in')
    const { issuer } = known
    const user = database.prepare("insert into users (id, name, title, admin, created_at) values (?, ?, '', 0, ?)")
    const identity = database.prepare(
      "insert into identities (issuer, subject, user_id, claims, linked_at) values (?, ?, ?, '{}', ?)",
    )
    const login = database.prepare(
      `insert into logins (id, secret_hash, user_id, issuer, subject, created_at, seen_at, expires_at, user_agent, address)
       values (?, ?, ?, ?, ?, ?, ?, ?, 'bench', '127.0.0.1')`,
    )
    const at = Date.now()
    database.exec('begin immediate')
    const people = names.map((name) => {
      const [userId, secret] = [randomUUID(), randomBytes(32).toString('base64url')]
      const hash = createHash('sha256').update(secret).digest('base64url')
      user.run(userId, name, at)
      identity.run(issuer, name, userId, at)
      login.run(randomUUID(), hash, userId, issuer, name, at, at, at + lifetimeMs)
      return { name, login: secret }
    })
    database.exec('commit')
    return people
  } finally {
    database.close()
  }
}
