/** GET /metrics and /health at an address of their own, for monitoring inside: nobody logs in there. */
import { createServer, type Server } from 'node:http'
import type { Registry } from 'prom-client'
import type { Log } from '../../spawners/spawner.ts'

export function metricsServer(registry: Registry, log: Log): Server {
  return createServer({ requestTimeout: 10_000, maxHeaderSize: 8_192 }, (request, response) => {
    request.resume()
    switch (`${request.method} ${request.url}`) {
      case 'GET /health':
        response.writeHead(200, { 'content-type': 'application/json' }).end('{"status":"ok"}')
        return
      case 'GET /metrics':
        registry.metrics().then(
          (text) => response.writeHead(200, { 'content-type': registry.contentType }).end(text),
          (error: unknown) => {
            log.error({ err: error }, 'the metrics can not be read')
            response.writeHead(500).end()
          },
        )
        return
      default:
        response.writeHead(404).end()
    }
  })
}
