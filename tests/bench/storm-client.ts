/** A client that costs little, so that the hub is what is measured: one connection pool, JSON, and event streams. */
import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http'

export interface StormClient {
  ask(method: string, path: string, body?: object): Promise<{ status: number; text: string }>
  /** As the launch page and the waiting page: returns when the stream says that it is ready. */
  launch(choices: object): Promise<string>
  close(): void
}

const readyTimeoutMs = 120_000

/** `agent`: connections that several share; close() ends them. */
export function createStormClient(
  hubUrl: string,
  login: string,
  agent: Agent = new Agent({ keepAlive: true }),
): StormClient {
  function begin(method: string, path: string, body: string | undefined): ClientRequest {
    const headers = {
      cookie: `hutch-login=${login}`,
      accept: 'application/json',
      origin: hubUrl,
      'sec-fetch-site': 'same-origin',
      ...(body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
    }
    const asked = request(`${hubUrl}${path}`, { method, headers, agent })
    asked.end(body)
    return asked
  }

  function ask(method: string, path: string, body?: object): Promise<{ status: number; text: string }> {
    return new Promise((resolve, reject) => {
      const asked = begin(method, path, body && JSON.stringify(body))
      asked.on('error', reject)
      asked.on('response', (response: IncomingMessage) => {
        let text = ''
        response.setEncoding('utf8').on('data', (data: string) => (text += data))
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
      })
    })
  }

  function ready(id: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const asked = begin('GET', `/hub/api/v1/environments/${id}/events`, undefined)
      const timer = setTimeout(() => asked.destroy(new Error(`${id} did not get ready`)), readyTimeoutMs)
      asked.on('close', () => clearTimeout(timer))
      asked.on('error', reject)
      asked.on('response', (response: IncomingMessage) => {
        let text = ''
        response.on('error', reject)
        if (response.statusCode !== 200) asked.destroy(new Error(`its events were answered ${response.statusCode}`))
        response.setEncoding('utf8').on('data', (data: string) => {
          text += data
          if (!text.includes('"state":"ready"')) return
          resolve()
          // A reset, so that the proxy need not find out whether this is half an end.
          asked.socket?.resetAndDestroy()
        })
      })
    })
  }

  return {
    ask,
    async launch(choices) {
      const { status, text } = await ask('POST', '/hub/api/v1/environments', choices)
      if (status !== 201) throw new Error(`the launch was answered with ${status}: ${text}`)
      const { id }: { id: string } = JSON.parse(text)
      await ready(id)
      return id
    },
    close: () => agent.destroy(),
  }
}
