/**
 * A claim: what an agent is given where the backend keeps what it is given (a job's script). With it the agent asks
 * the hub for its bootstrap, once: the hub gives it only while it sees this environment running, and only here.
 */
import { request } from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'
import type { AgentBootstrap } from './bootstrap.ts'
import { pskClient } from './link.ts'
import { checkBootstrap, readJson } from './read-bootstrap.ts'

/** As JSON. The PSK identity is claimIdentity(id), the key is good for nothing but POST /agent/claim. */
interface AgentClaim {
  readonly version: 1
  readonly id: string
  /** 32 bytes, base64url. */
  readonly key: string
  readonly report: AgentBootstrap['report']
}

/** No environment's id has a dot: the two kinds of keys can't be taken for each other. */
const prefix = 'claim.'

function claimIdentity(id: string): string {
  return prefix + id
}

/** The environment's id, when this is the identity of a claim. */
export function readClaimIdentity(identity: string): string | undefined {
  return identity.startsWith(prefix) ? identity.slice(prefix.length) : undefined
}

export interface ClaimOptions {
  readonly source: string
  readonly say: (line: string) => void
  /** How long the hub may be away, or not see the job yet. */
  readonly patienceMs?: number
  readonly retryMs?: number
}

const requestTimeoutMs = 20_000
const longestAnswerBytes = 1024 * 1024

/** @throws with one line, without the key, when the hub says no for good or does not answer in time. */
export async function claimBootstrap(options: ClaimOptions): Promise<AgentBootstrap> {
  const { source, say, patienceMs = 600_000, retryMs = 1_000 } = options
  const claim = checkClaim(await readJson(source))
  const deadline = performance.now() + patienceMs
  for (let last = ''; ;) {
    const answer = await ask(claim)
    if (answer.is === 'given') return checkBootstrap(JSON.parse(answer.text))
    if (answer.is === 'refused') throw new Error(`the hub does not give this environment its key: ${answer.why}`)
    if (answer.why !== last) say(`the hub can't be asked yet: ${answer.why}; trying again`)
    last = answer.why
    if (performance.now() > deadline) throw new Error(`the hub did not answer in time: ${answer.why}`)
    await sleep(retryMs)
  }
}

type Answer =
  | Readonly<{ is: 'given'; text: string }>
  | Readonly<{ is: 'refused'; why: string }>
  | Readonly<{ is: 'later'; why: string }>

function ask({ id, key, report }: AgentClaim): Promise<Answer> {
  return new Promise((resolve) => {
    const asking = request(
      {
        ...pskClient(claimIdentity(id), Buffer.from(key, 'base64url')),
        host: report.host,
        port: report.port,
        method: 'POST',
        path: '/agent/claim',
        headers: { 'Content-Length': 0 },
        agent: false,
      },
      (answer) => {
        let text = ''
        answer.setEncoding('utf8')
        answer.on('data', (chunk: string) => {
          text += chunk
          if (text.length > longestAnswerBytes) asking.destroy(new Error('the answer is too long'))
        })
        answer.on('end', () => resolve(read(answer.statusCode ?? 0, text)))
      },
    )
    const timer = setTimeout(() => asking.destroy(new Error('no answer')), requestTimeoutMs)
    asking.on('error', (error: NodeJS.ErrnoException) => resolve({ is: 'later', why: error.code ?? error.message }))
    asking.on('close', () => {
      clearTimeout(timer)
      resolve({ is: 'later', why: 'the connection closed' })
    })
    asking.end()
  })
}

function read(status: number, text: string): Answer {
  if (status === 200) return { is: 'given', text }
  const why = text.slice(0, 500)
  // Told that it is over (410), claimed by another (409), or not from here (403): waiting changes none of it.
  return [403, 409, 410].includes(status) ? { is: 'refused', why } : { is: 'later', why: why || `it answers ${status}` }
}

function checkClaim(value: unknown): AgentClaim {
  const { version, id, key, report } = (value ?? {}) as Partial<Record<keyof AgentClaim, unknown>>
  const { host, port } = (report ?? {}) as Partial<Record<'host' | 'port', unknown>>
  const isWhole =
    version === 1 &&
    typeof id === 'string' &&
    /^[a-z][a-z0-9]{0,29}$/.test(id) &&
    typeof key === 'string' &&
    /^[A-Za-z0-9_-]{43}$/.test(key) &&
    typeof host === 'string' &&
    typeof port === 'number'
  if (!isWhole) throw new Error('the claim is wrong')
  return { version, id, key, report: { host, port } }
}
