import { join } from 'node:path'
import { Client as HttpClient } from 'undici'

/** Of a control socket; with a body: POST. */
export async function control(state: string, socket: string, path: string, body?: object): Promise<string> {
  const client = new HttpClient('http://control', { socketPath: join(state, 'run', socket) })
  try {
    const answer = await client.request({
      method: body === undefined ? 'GET' : 'POST',
      path,
      ...(body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    })
    const text = await answer.body.text()
    if (answer.statusCode >= 300) throw new Error(`${answer.statusCode}: ${text}`)
    return text
  } finally {
    await client.close()
  }
}
