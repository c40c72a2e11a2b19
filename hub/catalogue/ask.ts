/** One question to a catalogue of the facility: a deadline, few retries, no redirects, a bounded JSON answer. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Problem } from '../domain/problem.ts'

const largestAnswerBytes = 8 * 2 ** 20
const mostAttempts = 3
const firstPauseMs = 100
/** What passes by itself, perhaps. */
const passing: readonly number[] = [429, 502, 503, 504]

export interface Asking {
  readonly fetch: typeof fetch
  /** All attempts together. */
  readonly deadlineMs: number
}

interface Question {
  /** What it is called in the log: an address may hold a session, and a search is somebody's own. */
  readonly about: string
  readonly url: URL
  readonly method?: 'GET' | 'POST'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

export interface Answer {
  readonly status: number
  readonly value: unknown
}

export type Ask = (question: Question, signal: AbortSignal) => Promise<Answer>

/** The answers' statuses are the caller's to judge, but for those that stay 429 or 5xx. */
export function createAsk({ fetch, deadlineMs }: Asking): Ask {
  async function once(question: Question, signal: AbortSignal): Promise<Answer | Error> {
    const { about, url, method = 'GET', headers = {}, body } = question
    try {
      const response = await fetch(url, {
        method,
        headers: { accept: 'application/json', ...headers },
        redirect: 'error',
        signal,
        ...(body === undefined ? {} : { body }),
      })
      if (passing.includes(response.status)) {
        await response.body?.cancel()
        return new Error(`${about}: answered ${response.status}`)
      }
      const text = await boundedText(response, about)
      if (response.status >= 500) throw unreachable(`${about}: answered ${response.status}`)
      return { status: response.status, value: parsed(text, about, response.ok) }
    } catch (error) {
      if (error instanceof Problem) throw error
      // Its own words may hold the address, and with it a session.
      return new Error(`${about}: ${faultOf(error)}`)
    }
  }

  return async (question, callers) => {
    const signal = AbortSignal.any([callers, AbortSignal.timeout(deadlineMs)])
    for (let attempt = 1; ; attempt += 1) {
      const answer = await once(question, signal)
      if (!(answer instanceof Error)) return answer
      if (attempt >= mostAttempts || signal.aborted) throw unreachable(answer.message)
      await sleep(firstPauseMs * 3 ** (attempt - 1), undefined, { signal, ref: false }).catch(() => undefined)
      if (signal.aborted) throw unreachable(answer.message)
    }
  }
}

/** `why` is for the log alone. */
export function unreachable(why: string): Problem {
  return new Problem(
    'catalogueUnreachable',
    'The catalogue of proposals does not answer just now. Try again in a minute.',
    {
      cause: new Error(why),
      retryAfter: 60,
    },
  )
}

async function boundedText(response: Response, about: string): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  // Leaving the loop early cancels the body, and with it the connection.
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength
    if (size > largestAnswerBytes) throw unreachable(`${about}: the answer is larger than ${largestAnswerBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** Pages of errors are often HTML: they count by their status. */
function parsed(text: string, about: string, ok: boolean): unknown {
  try {
    return JSON.parse(text)
  } catch {
    if (!ok) return undefined
    throw unreachable(`${about}: the answer is not JSON`)
  }
}

function faultOf(error: unknown): string {
  if (!(error instanceof Error)) return 'failed'
  if (error.name === 'TimeoutError' || error.name === 'AbortError') return 'no answer in time'
  const { cause } = error
  const code: unknown = typeof cause === 'object' && cause !== null && 'code' in cause ? cause.code : undefined
  return typeof code === 'string' ? code : 'the connection failed, or it leads elsewhere'
}
