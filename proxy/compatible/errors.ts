/** Error pages: from --error-target as GET {target}/{code}?url=…, from files in --error-path, or plain. */
import { readFile } from 'node:fs/promises'
import { request as httpRequest, STATUS_CODES } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { join } from 'node:path'
import type { Request } from '../forward/request.ts'
import type { TargetTls } from '../forward/connect.ts'
import type { Answer } from '../http/answer.ts'
import { targetOf } from './target.ts'

export interface ErrorPages {
  page(status: number, request: Request): Promise<Answer>
}

const longestPageBytes = 2 ** 20
const pageTimeoutMs = 10_000

export function createErrorPages(options: {
  target: string | undefined
  path: string | undefined
  tls: TargetTls
}): ErrorPages {
  return {
    async page(status, request) {
      const plain: Answer = { status, fields: [['Content-Type', 'text/plain']], body: STATUS_CODES[status] ?? '' }
      // A WebSocket has no page.
      if (request.upgrade !== undefined) return { status, fields: [], body: '' }
      if (options.target !== undefined)
        return await asked(options.target, status, request, options.tls).catch(() => plain)
      if (options.path === undefined) return plain
      const body =
        (await readFile(join(options.path, `${status}.html`), 'utf8').catch(() => undefined)) ??
        (await readFile(join(options.path, 'error.html'), 'utf8').catch(() => undefined))
      return body === undefined ? plain : { status, fields: [['Content-Type', 'text/html']], body }
    },
  }
}

async function asked(target: string, status: number, request: Request, tls: TargetTls): Promise<Answer> {
  const { target: where, base } = targetOf(target)
  const path = `${base}/${status}?url=${encodeURIComponent(request.path + request.query)}`
  const to = where.kind === 'unix' ? { socketPath: where.path, path } : { ...hostOf(target), path }
  return await new Promise((resolve, reject) => {
    const ask = target.startsWith('https:') ? httpsRequest : httpRequest
    const asking = ask({ ...to, ...tls, agent: false, timeout: pageTimeoutMs }, (response) => {
      const chunks: Buffer[] = []
      let size = 0
      response.on('data', (chunk: Buffer) => {
        size += chunk.length
        if (size > longestPageBytes) asking.destroy(new Error('the page is too long'))
        else chunks.push(chunk)
      })
      response.on('error', reject)
      response.on('end', () => {
        const type = response.headers['content-type'] ?? 'text/html'
        resolve({ status, fields: [['Content-Type', type]], body: Buffer.concat(chunks).toString() })
      })
    })
    asking.on('timeout', () => asking.destroy(new Error('no page in time')))
    asking.on('error', reject)
    asking.end()
  })
}

function hostOf(target: string): { host: string; port: string } {
  const url = new URL(target)
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port: url.port || (url.protocol === 'https:' ? '443' : '80') }
}
