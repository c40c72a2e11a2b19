/**
 * API tokens of environments that speak JupyterHub's protocol: derived from a key and the environment's id, so that
 * they are stored nowhere, and good for as long as the environment lives.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { isEnvironmentId } from '../../spawners/spawner.ts'

export interface ServerTokens {
  of(id: string): string
  /** Undefined: it is none, or forged. Whether the environment lives is the caller's to ask. */
  idOf(token: string): string | undefined
}

const prefix = 'hutch_server_'

/** `key`: 32 bytes, the same for all hubs of a database. */
export function createServerTokens(key: Buffer): ServerTokens {
  const of = (id: string): string => `${prefix}${id}_${createHmac('sha256', key).update(id).digest('base64url')}`
  return {
    of,
    idOf(token) {
      if (!token.startsWith(prefix)) return undefined
      const id = token.slice(prefix.length).split('_', 1)[0] ?? ''
      if (!isEnvironmentId(id)) return undefined
      const [given, right] = [Buffer.from(token), Buffer.from(of(id))]
      return given.length === right.length && timingSafeEqual(given, right) ? id : undefined
    },
  }
}
