/** An answer of HTTP/1.1, as the proxy writes it, taken apart for a stream of HTTP/2. */
import { responseFraming, type Framing } from '../http/framing.ts'
import { headLength, parseFieldLine, parseResponseHead, type ResponseHead } from '../http/head.ts'

export interface AnswerTaker {
  interim(head: ResponseHead): void
  head(head: ResponseHead, framing: Framing): void
  /** Part of the body. */
  data(chunk: Buffer): void
  /** The answer is whole. `trailers`: names and values by turns. */
  end(trailers: readonly string[]): void
}

export interface AnswerReader {
  /** Throws MessageError. */
  take(chunk: Buffer): void
  /** No more comes: the end of an answer that has neither a length nor chunks. */
  ended(): void
  readonly whole: boolean
}

const lineFeed = 10

/** Heads were written, and chunks checked, by the proxy itself: they are well formed. */
export function readAnswer(method: string, taker: AnswerTaker): AnswerReader {
  let pending: Buffer | undefined
  let framing: Framing | undefined
  let whole = false
  let left = 0
  let stage: 'size' | 'data' | 'dataEnd' | 'trailer' = 'size'
  let line = ''
  const trailers: string[] = []
  return {
    get whole() {
      return whole
    },
    take(chunk) {
      if (framing !== undefined) body(chunk)
      else heads(pending === undefined ? chunk : Buffer.concat([pending, chunk]))
    },
    ended() {
      if (framing?.kind === 'close' && !whole) finish()
    },
  }

  function heads(bytes: Buffer): void {
    const length = headLength(bytes)
    pending = length === -1 ? bytes : undefined
    if (length === -1) return
    const head = parseResponseHead(bytes, length)
    const rest = bytes.subarray(length)
    if (head.status < 200) {
      taker.interim(head)
      return rest.length === 0 ? undefined : heads(rest)
    }
    framing = responseFraming(head, method)
    taker.head(head, framing)
    if (framing.kind === 'length') left = framing.bytes
    if (framing.kind === 'none' || (framing.kind === 'length' && left === 0)) finish()
    else if (rest.length > 0) body(rest)
    return undefined
  }

  function body(chunk: Buffer): void {
    if (whole || framing === undefined) return
    if (framing.kind === 'close') return taker.data(chunk)
    if (framing.kind === 'length') {
      const part = chunk.length > left ? chunk.subarray(0, left) : chunk
      left -= part.length
      if (part.length > 0) taker.data(part)
      return left === 0 ? finish() : undefined
    }
    let at = 0
    while (at < chunk.length) at = stage === 'data' ? data(chunk, at) : gather(chunk, at)
    return undefined
  }

  function data(chunk: Buffer, from: number): number {
    const end = Math.min(chunk.length, from + left)
    left -= end - from
    taker.data(chunk.subarray(from, end))
    if (left === 0) stage = 'dataEnd'
    return end
  }

  /** A line between chunks. */
  function gather(chunk: Buffer, from: number): number {
    const found = chunk.indexOf(lineFeed, from)
    const end = found === -1 ? chunk.length : found + 1
    line += chunk.toString('latin1', from, end)
    if (found === -1) return end
    const text = line.slice(0, -2)
    line = ''
    if (stage === 'dataEnd') stage = 'size'
    else if (stage === 'size') {
      left = Number.parseInt(text, 16)
      stage = left === 0 ? 'trailer' : 'data'
    } else if (text === '') {
      finish()
      // Nothing of this answer follows.
      return chunk.length
    } else {
      const { name, value } = parseFieldLine(text)
      trailers.push(name, value)
    }
    return end
  }

  function finish(): void {
    whole = true
    taker.end(trailers)
  }
}
