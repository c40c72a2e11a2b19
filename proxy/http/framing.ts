/** How long the body of a message is (RFC 9112 6.3). Two answers to that question are request smuggling: refused. */
import { MessageError, joined, type Fields, type RequestHead, type ResponseHead } from './head.ts'

export type Framing =
  | Readonly<{ kind: 'none' }>
  | Readonly<{ kind: 'length'; bytes: number }>
  | Readonly<{ kind: 'chunked' }>
  /** Until the connection ends; responses alone. */
  | Readonly<{ kind: 'close' }>

const none = { kind: 'none' } as const
const chunked = { kind: 'chunked' } as const
const close = { kind: 'close' } as const

/** Throws MessageError. */
export function requestFraming(head: RequestHead): Framing {
  const framing = declared(head, 400)
  if (framing === undefined) return none
  if (framing.kind === 'chunked' && head.minor === 0) throw new MessageError(400, 'HTTP/1.0 has no chunks')
  return framing.kind === 'length' && framing.bytes === 0 ? none : framing
}

/** Throws MessageError. */
export function responseFraming(head: ResponseHead, method: string): Framing {
  const framing = declared(head, 502)
  if (method === 'HEAD' || head.status < 200 || head.status === 204 || head.status === 304) return none
  return framing ?? close
}

function declared(fields: Fields, status: number): Framing | undefined {
  const length = joined(fields, 'content-length')
  const coding = joined(fields, 'transfer-encoding')
  if (coding !== undefined) {
    if (length !== undefined) throw new MessageError(status, 'the message has a length and chunks')
    if (coding.toLowerCase() !== 'chunked') {
      throw new MessageError(status === 400 ? 501 : status, 'the only transfer coding spoken here is chunked')
    }
    return chunked
  }
  if (length === undefined) return undefined
  // Also refuses a list, however equal its members.
  if (!/^\d{1,15}$/.test(length)) throw new MessageError(status, 'the length of the message is not a number')
  return { kind: 'length', bytes: Number(length) }
}
