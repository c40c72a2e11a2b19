/** Opening and closing the hub's sockets, with deadlines. */
import { chmod, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'

/** A socket that only this account may use; what a dead hub left behind is replaced. */
export async function listenOnSocket(server: Server, path: string): Promise<void> {
  await rm(path, { force: true })
  await listening(server, () => server.listen(path))
  await chmod(path, 0o600)
}

/**
 * Port 0 means: a free one, chosen once and kept in the state folder, because agents that outlive this hub go on
 * reporting to it.
 */
export async function keptPort({ host, port }: { host: string; port: number }, stateFolder: string): Promise<number> {
  if (port !== 0) return port
  const record = join(stateFolder, 'run', 'agents-port')
  const kept = Number(await readFile(record, 'utf8').catch(() => '0'))
  if (kept !== 0) return kept
  const server = createServer()
  await listening(server, () => server.listen(0, host))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('the listener for agents has no port')
  await writeFile(record, String(address.port), { mode: 0o600 })
  return address.port
}

export async function listenOn(server: Server, host: string, port: number): Promise<void> {
  await listening(server, () => server.listen(port, host))
}

/** Throws EADDRINUSE and its kin now, instead of after minutes of setting up. Port 0 is always free. */
export async function requireFree({ host, port }: { host: string; port: number }): Promise<void> {
  const server = createServer()
  await listenOn(server, host, port)
  await new Promise((resolve) => server.close(resolve))
}

async function listening(server: Server, listen: () => void): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.once('listening', () => {
      server.off('error', reject)
      resolve()
    })
    listen()
  })
}

const closeTimeoutMs = 2_000

/** Lets answers under way finish, then cuts what is left: event streams and feeds never end by themselves. */
export function closer(server: Server): () => Promise<void> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  return async () => {
    const cut = setTimeout(() => sockets.forEach((socket) => socket.destroy()), closeTimeoutMs)
    await new Promise((resolve) => server.close(resolve))
    clearTimeout(cut)
  }
}
