/** One question to the running hub, through its control socket. */
import { request } from 'node:http'

interface Question {
  readonly socketPath: string
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly content?: object
}

const answerTimeoutMs = 60_000
const longestAnswerBytes = 8 * 1_048_576

/** The JSON that it answered; undefined: no hub runs there. Throws its refusal in its own words. */
export async function askControl(question: Question): Promise<unknown> {
  const answered = await send(question).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') return undefined
    throw new Error(`the hub does not answer on its control socket (${error.code ?? error.message})`, { cause: error })
  })
  if (answered === undefined) return undefined
  const { status, body } = answered
  const answer: unknown = JSON.parse(body)
  if (status >= 200 && status < 300) return answer
  const { detail } = answer as { detail?: string }
  throw new Error(detail ?? `the hub refused (${status})`)
}

async function send({ socketPath, method, path, content }: Question): Promise<{ status: number; body: string }> {
  return await new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' }
    const signal = AbortSignal.timeout(answerTimeoutMs)
    const asking = request({ socketPath, path, method, headers, agent: false, signal }, (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (text: string) => {
        body += text
        if (body.length > longestAnswerBytes) response.destroy(new Error('the answer of the hub is too long'))
      })
      response.on('error', reject)
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
    })
    asking.on('error', reject)
    asking.end(content === undefined ? undefined : JSON.stringify(content))
  })
}
