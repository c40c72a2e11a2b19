/** GET /health and /metrics, on a unix socket or an address that is not public. */
import { chmod, rm } from 'node:fs/promises'
import type { Server } from 'node:http'
import { connect } from 'node:net'
import type { ProxyConfiguration } from './config.ts'
import { StartError } from './config.ts'
import { listening } from './engine.ts'
import { createHttpServer } from './http/node.ts'
import { renderStatistics, type Statistics } from './statistics.ts'

export interface ControlOptions {
  readonly where: ProxyConfiguration['control']
  readonly health: () => object
  readonly statistics: () => Promise<readonly Statistics[]>
}

/** Throws StartError. */
export async function serveControl({ where, health, statistics }: ControlOptions): Promise<Server> {
  const server = createHttpServer({ requestTimeout: 10_000 }, (request, response) => {
    const send = (status: number, type: string, body: string): void =>
      void response.writeHead(status, { 'content-type': type }).end(body)
    if (request.method === 'GET' && request.url === '/health') {
      send(200, 'application/json', JSON.stringify({ status: 'ok', ...health() }))
    } else if (request.method === 'GET' && request.url === '/metrics') {
      statistics().then(
        (all) => send(200, 'text/plain; version=0.0.4', renderStatistics(all)),
        (error: unknown) => send(500, 'text/plain', String(error)),
      )
    } else send(404, 'text/plain', 'GET /health and GET /metrics\n')
  })
  if (!('socket' in where)) {
    await listening(server, where)
    return server
  }
  if (await answers(where.socket)) throw new StartError(`${where.socket} is taken by another program`)
  await rm(where.socket, { force: true })
  await listening(server, { path: where.socket })
  await chmod(where.socket, 0o600)
  return server
}

/** A socket file that a dead process left behind does not answer. */
async function answers(path: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect({ path }, () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}
