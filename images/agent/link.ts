/**
 * The link between proxy or hub and an agent: TLS 1.3 with a pre-shared key and no PKI, in both directions.
 * Identity = environment id, key = HKDF-SHA256(agents key, id). Shared by hub, proxy and agent.
 */
import { createSecretKey, hkdfSync, type KeyObject } from 'node:crypto'
import { type ConnectionOptions, createSecureContext, type TlsOptions } from 'node:tls'

/** 32 bytes. `direction` keeps the key for calling the agent apart from the key for calling the hub. */
export function agentKey(agentsKey: Buffer | KeyObject, id: string): Buffer {
  return Buffer.from(hkdfSync('sha256', agentsKey, '', `hutch agent ${id}`, 32))
}

const mostKept = 4_096

/** agentKey for one agents key, kept: the same few thousand are asked for again and again. */
export function agentKeys(agentsKey: Buffer): (id: string) => Buffer {
  const kept = new Map<string, Buffer>()
  const secret = createSecretKey(agentsKey)
  return (id) => {
    const known = kept.get(id)
    if (known !== undefined) return known
    const made = agentKey(secret, id)
    if (kept.size >= mostKept) kept.clear()
    kept.set(id, made)
    return made
  }
}

/** For tls.connect: whoever answers must hold the key; a certificate, however trusted, is refused. */
export function pskClient(identity: string, key: Buffer): ConnectionOptions {
  return {
    ...pinned,
    secureContext: clientContext,
    pskCallback: () => ({ psk: key, identity }),
    checkServerIdentity: () => new Error('this peer showed a certificate where a pre-shared key was wanted'),
    rejectUnauthorized: true,
    session: undefined,
  }
}

/** For tls.createServer: no certificate, and only an identity that `keyOf` knows gets through. */
export function pskServer(keyOf: (identity: string) => Buffer | undefined): TlsOptions {
  return { ...pinned, pskCallback: (_socket, identity) => keyOf(identity) ?? null }
}

const pinned = {
  minVersion: 'TLSv1.3',
  maxVersion: 'TLSv1.3',
  ciphers: 'TLS_AES_128_GCM_SHA256',
  // The pre-shared key resists what a hybrid exchange is for; the curve alone is a third of the work.
  ecdhCurve: 'X25519',
} as const

/** One for all connections: no certificate authority is trusted, so none is loaded. */
const clientContext = createSecureContext({ ...pinned, ca: [] })
