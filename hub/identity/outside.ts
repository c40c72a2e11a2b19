/** One request to a login service: a deadline, no redirects, a bounded answer. */
import { Problem } from '../domain/problem.ts'

const askTimeoutMs = 10_000
const largestAnswerBytes = 256 * 1024

export interface Answer {
  readonly status: number
  readonly contentType: string
  readonly text: string
}

export interface Asking {
  readonly fetch: typeof fetch
  /** The provider's title: named to the user when it does not answer. */
  readonly title: string
}

/** Throws Problem 'providerUnreachable' when there is no whole answer in time, or a 5xx one. */
export async function ask(asking: Asking, url: URL, init: RequestInit = {}): Promise<Answer> {
  try {
    const response = await asking.fetch(url, {
      ...init,
      redirect: 'error',
      signal: AbortSignal.timeout(askTimeoutMs),
    })
    const text = await boundedText(response)
    if (response.status >= 500) throw new Error(`${url.pathname} answered ${response.status}`)
    return { status: response.status, contentType: response.headers.get('content-type') ?? '', text }
  } catch (cause) {
    throw unreachable(asking.title, cause)
  }
}

export function unreachable(title: string, cause: unknown): Problem {
  return new Problem('providerUnreachable', `${title} does not answer as it should. Try again in a minute.`, {
    cause,
    retryAfter: 60,
  })
}

async function boundedText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  // Leaving the loop early cancels the body, and with it the connection.
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength
    if (size > largestAnswerBytes) throw new Error(`the answer is larger than ${largestAnswerBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}
