/**
 * A job's name carries the hub's id, the environment's id, and a seal over both and the owner's uid: anybody may
 * give a job any name, and see that of others, but only a hub can seal one. Pure.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { isEnvironmentId, type EnvironmentId } from '../spawner.ts'

export interface Names {
  /** The same each time: SLURM runs only one of a name and user at once (--dependency=singleton). */
  nameOf(id: EnvironmentId, uid: number): string
  /** Undefined: not a job of this hub, or not sealed for this user. */
  read(name: string, uid: number): EnvironmentId | undefined
  commentOf(id: EnvironmentId, kept: Kept): string
  /** Undefined: somebody wrote it who may not. */
  readComment(id: EnvironmentId, comment: string): Kept | undefined
  /** What all names of this hub begin with. */
  readonly prefix: string
}

/** What a job keeps of its environment, so that it can be adopted. */
interface Kept {
  readonly owner: string
  readonly digest: string
}

/** 80 bits: nobody tries them all, for each try is a job. */
const sealBytes = 10

/** `secret`: 32 bytes, the same in every hub of the installation. */
export function createNames(hub: string, secret: Buffer): Names {
  const prefix = `hutch-${hub}-`
  const seal = (...parts: readonly (string | number)[]): string =>
    createHmac('sha256', secret)
      .update(JSON.stringify([hub, ...parts]))
      .digest('hex')
      .slice(0, 2 * sealBytes)
  return {
    prefix,
    nameOf: (id, uid) => `${prefix}${id}-${seal('name', id, uid)}`,
    read(name, uid) {
      if (!name.startsWith(prefix)) return undefined
      const [id = '', given = '', ...more] = name.slice(prefix.length).split('-')
      return more.length === 0 && isEnvironmentId(id) && isSame(given, seal('name', id, uid)) ? id : undefined
    },
    commentOf: (id, { owner, digest }) =>
      `hutch ${Buffer.from(owner).toString('base64url')} ${digest} ${seal('comment', id, owner, digest)}`,
    readComment(id, comment) {
      const [word, encoded = '', digest = '', given = '', ...more] = comment.split(' ')
      const owner = Buffer.from(encoded, 'base64url').toString()
      if (word !== 'hutch' || more.length > 0 || !isSame(given, seal('comment', id, owner, digest))) return undefined
      return { owner, digest }
    },
  }
}

function isSame(given: string, wanted: string): boolean {
  const [one, other] = [Buffer.from(given), Buffer.from(wanted)]
  return one.length === other.length && timingSafeEqual(one, other)
}
