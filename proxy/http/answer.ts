/** A whole answer of the proxy's own. */
import type { MessageError } from './head.ts'
import { STATUS_CODES } from './node.ts'

export interface Answer {
  readonly status: number
  readonly fields: readonly (readonly [name: string, value: string])[]
  readonly body: string
}

export function redirect(location: string, fields: Answer['fields'] = [], status = 302): Answer {
  return { status, fields: [['Location', location], ['Cache-Control', 'no-store'], ...fields], body: '' }
}

/** For what is not even a request, or breaks off as one. */
export function refusalText(error: MessageError): Answer {
  return { status: error.status, fields: [['Content-Type', 'text/plain; charset=utf-8']], body: `${error.message}\n` }
}

/** As bytes on the wire. */
export function renderAnswer(answer: Answer, { head, close }: { head: boolean; close: boolean }): Buffer {
  const lines = answer.fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  const text =
    `HTTP/1.1 ${answer.status} ${STATUS_CODES[answer.status] ?? ''}\r\n${lines}` +
    `Content-Length: ${Buffer.byteLength(answer.body)}\r\n${close ? 'Connection: close\r\n' : ''}\r\n`
  return Buffer.from(head ? text : text + answer.body)
}
