/** The minter's one door: POST / with {user, uid} on a unix socket; each answer is written to the audit first. */
import { execFile } from 'node:child_process'
import { appendFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { mint, refusalOf, type Asked, type Passwd, type Rules, type SigningKey } from './rules.ts'

export interface MinterOptions {
  readonly signing: SigningKey
  readonly rules: Rules
  readonly lifetimeSeconds: number
  /** One line of JSON for each token that was asked for. */
  readonly auditFile: string
  readonly now: () => Date
  readonly passwd?: (user: string) => Promise<Passwd | undefined>
}

const longestBodyBytes = 4_096
const deadlineMs = 10_000
const mostConnections = 64

/** Not listening yet. */
export function minterServer(options: MinterOptions): Server {
  const server = createServer((request, response) => {
    answer(request, options)
      .catch((error: unknown) => ({ status: 500, body: { detail: `No token could be made: ${String(error)}` } }))
      .then(({ status, body }) => {
        response.writeHead(status, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' })
        return response.end(JSON.stringify(body))
      })
      .catch(() => response.destroy())
  })
  server.requestTimeout = deadlineMs
  server.headersTimeout = deadlineMs
  server.maxConnections = mostConnections
  return server
}

interface Answer {
  readonly status: number
  readonly body: object
}

async function answer(request: IncomingMessage, options: MinterOptions): Promise<Answer> {
  if (request.method !== 'POST') return { status: 405, body: { detail: 'Tokens are asked for by POST.' } }
  const asked = await readAsked(request)
  if (asked === undefined) return { status: 400, body: { detail: 'Ask with {"user": name, "uid": number}.' } }
  const { rules, signing, lifetimeSeconds, now, auditFile, passwd = getent } = options
  const why = refusalOf(asked, /^[A-Za-z0-9_]/.test(asked.user) ? await passwd(asked.user) : undefined, rules)
  const at = now()
  const expiresAt = new Date(Math.floor(at.getTime() / 1_000 + lifetimeSeconds) * 1_000).toISOString()
  const outcome = why === undefined ? { minted: true, expiresAt } : { minted: false, why }
  // No token without a line in the audit: when that can't be written, none is made.
  await appendFile(auditFile, `${JSON.stringify({ at: at.toISOString(), ...asked, ...outcome })}\n`, { mode: 0o600 })
  if (why !== undefined) return { status: 403, body: { detail: `No token for ${asked.user}: ${why}.` } }
  return { status: 200, body: { token: mint(signing, asked.user, at, lifetimeSeconds), expiresAt } }
}

async function readAsked(request: IncomingMessage): Promise<Asked | undefined> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > longestBodyBytes) return undefined
    chunks.push(chunk)
  }
  try {
    const { user, uid } = JSON.parse(Buffer.concat(chunks).toString()) as { user?: unknown; uid?: unknown }
    if (typeof user !== 'string' || user.length > 64) return undefined
    if (uid !== undefined && (typeof uid !== 'number' || !Number.isSafeInteger(uid))) return undefined
    return { user, uid }
  } catch {
    return undefined // refused like everything else that asks for nothing
  }
}

/** The name service of this machine, whatever stands behind it. Undefined: nobody has this name. */
async function getent(user: string): Promise<Passwd | undefined> {
  const options = { env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' }, timeout: deadlineMs }
  return await new Promise((resolve, reject) => {
    execFile('getent', ['passwd', '--', user], options, (error, stdout) => {
      // getent(1): 2 is "one or more supplied key could not be found".
      if (error !== null) return error.code === 2 ? resolve(undefined) : reject(error)
      const [name = '', , uid = ''] = stdout.split('\n', 1)[0]?.split(':') ?? []
      resolve(/^\d+$/.test(uid) ? { name, uid: Number(uid) } : undefined)
    })
  })
}
