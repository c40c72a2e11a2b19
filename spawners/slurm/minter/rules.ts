/** Who may get a token, and what is in it. Pure. */
import { createHmac, sign, type KeyObject } from 'node:crypto'

/** An account as the machine's own name service has it. */
export interface Passwd {
  readonly name: string
  readonly uid: number
}

export interface Rules {
  /** Smaller uids belong to the system. */
  readonly minimumUid: number
  /** SlurmUser, root and their kin: whoever is them can be anybody in SLURM. */
  readonly never: readonly string[]
  /** Accounts of services that may have one although their uid is small: the hub's own. */
  readonly also: readonly string[]
}

export interface Asked {
  readonly user: string
  /** As the hub knows it; absent for its own account. */
  readonly uid?: number | undefined
}

/** Why not; undefined: it may be minted. `found` is undefined where there is no such account. */
export function refusalOf({ user, uid }: Asked, found: Passwd | undefined, rules: Rules): string | undefined {
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}$/.test(user)) return 'this is not a name of an account'
  if (rules.never.includes(user)) return 'this account runs SLURM'
  if (found === undefined) return 'there is no such account here'
  // A name service may find it by another spelling, or by its number.
  if (found.name !== user) return `the account is called ${found.name} here`
  if (found.uid === 0) return 'uid 0 is the superuser'
  if (found.uid === 65_534) return 'this account is nobody'
  if (found.uid < rules.minimumUid && !rules.also.includes(user)) return `uid ${found.uid} belongs to the system`
  // The hub's view and this machine's differ: whose token would it be?
  if (uid !== undefined && uid !== found.uid) return `it has the uid ${found.uid} here, not ${uid}`
  if (uid === undefined && !rules.also.includes(user)) return 'its uid was not told'
  return undefined
}

export type SigningKey =
  | Readonly<{ algorithm: 'HS256'; secret: Buffer }>
  | Readonly<{ algorithm: 'RS256'; key: KeyObject; kid: string }>

/** RFC 7519, as SLURM's auth/jwt reads it: `sun` is the account's name. */
export function mint(signing: SigningKey, user: string, now: Date, lifetimeSeconds: number): string {
  const iat = Math.floor(now.getTime() / 1_000)
  const header = { alg: signing.algorithm, typ: 'JWT', ...(signing.algorithm === 'RS256' ? { kid: signing.kid } : {}) }
  const text = [header, { iat, exp: iat + lifetimeSeconds, sun: user }].map(encoded).join('.')
  return `${text}.${signatureOf(signing, text).toString('base64url')}`
}

function signatureOf(signing: SigningKey, text: string): Buffer {
  switch (signing.algorithm) {
    case 'HS256':
      return createHmac('sha256', signing.secret).update(text).digest()
    case 'RS256':
      return sign('sha256', Buffer.from(text), signing.key)
  }
}

function encoded(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url')
}
