/**
 * One connection to a directory, encrypted before anything is said on it, and bound. The sockets are opened here, not
 * by ldapts: what came before the encryption never reaches the client that is used after it.
 */
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { connect, isIP, type Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { Client } from 'ldapts'
import type { LdapAccounts } from '../../../config/schema.ts'
import { readSecretFile } from '../../../config/secret.ts'

/** Of one connection: enough for a person with thousands of groups, and an end for a server that never stops. */
const mostBytes = 4 * 2 ** 20
const startTlsOid = '1.3.6.1.4.1.1466.20037'

export type LdapConnection = Pick<LdapAccounts, 'startTls' | 'caFile' | 'bindDn' | 'passwordFile'>

/**
 * Runs `work` with a bound client and ends the connection, whatever comes of it. Rejects once `signal` is aborted,
 * when the server sends more than 4 MiB, and with what ldapts throws.
 */
export async function withServer<T>(
  address: string,
  connection: LdapConnection,
  signal: AbortSignal,
  work: (client: Client) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted()
  const password = connection.passwordFile === undefined ? undefined : await readSecretFile(connection.passwordFile)
  const ca = connection.caFile === undefined ? undefined : await readFile(connection.caFile)
  return await onSocket(new URL(address), signal, async ({ raw, secured }) => {
    const socket = await secure(new URL(address), raw, connection.startTls, secured, ca)
    const client = clientOn(address, socket)
    if (connection.bindDn !== undefined) await client.bind(connection.bindDn, password)
    return await work(client)
  })
}

interface Opened {
  readonly raw: Socket
  /** What is made of it later ends with it. */
  readonly secured: (socket: TLSSocket) => void
}

/** The socket's whole life: from here on any failure of it, and the end of `signal`, is a rejection. */
async function onSocket<T>(url: URL, signal: AbortSignal, work: (opened: Opened) => Promise<T>): Promise<T> {
  const isTls = url.protocol === 'ldaps:'
  const raw = connect({ host: hostOf(url), port: Number(url.port || (isTls ? 636 : 389)) })
  const sockets: Socket[] = [raw]
  const { promise: failed, reject } = Promise.withResolvers<never>()
  // Raced below; what fails once that is over has been said already.
  failed.catch(() => undefined)
  const watch = (socket: Socket) => socket.on('error', reject).on('close', () => reject(new Error('it hung up')))
  watch(raw)
  const abort = () => reject(signal.reason)
  signal.addEventListener('abort', abort)
  const working = (async () => {
    await once(raw, 'connect')
    return await work({
      raw,
      secured: (socket) => sockets.push(watch(socket)),
    })
  })()
  try {
    return await Promise.race([working, failed])
  } finally {
    signal.removeEventListener('abort', abort)
    // Whatever it still waits for is over.
    working.catch(() => undefined)
    for (const socket of sockets) end(socket)
  }
}

/** ldapts takes listeners off again, and a socket without one for errors would take the hub down. */
function end(socket: Socket): void {
  socket.on('error', () => undefined)
  socket.destroy()
}

async function secure(
  url: URL,
  raw: Socket,
  startTls: boolean,
  secured: Opened['secured'],
  ca: Buffer | undefined,
): Promise<Socket> {
  if (url.protocol !== 'ldaps:') {
    if (!startTls) return raw
    await clientOn(url.href, raw).exop(startTlsOid)
    // The first client is done, and whatever else it was sent goes with it.
    raw.removeAllListeners('data')
  }
  const host = hostOf(url)
  const name = isIP(host) === 0 ? { servername: host } : {}
  const trusted = ca === undefined ? {} : { ca }
  const socket = connectTls({ socket: raw, host, ...name, ...trusted, minVersion: 'TLSv1.2' })
  secured(socket)
  await once(socket, 'secureConnect')
  return socket
}

function clientOn(url: string, socket: Socket): Client {
  const before = socket.bytesRead
  socket.on('data', () => {
    if (socket.bytesRead - before > mostBytes) socket.destroy(new Error(`it sent more than ${mostBytes} bytes`))
  })
  // ldap: whatever the socket is by now, it is open.
  return new Client({ url: url.replace(/^ldaps:/, 'ldap:'), createConnection: () => socket })
}

function hostOf(url: URL): string {
  return url.hostname.replaceAll(/[[\]]/g, '')
}
