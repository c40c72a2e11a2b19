/** Finds the end of a body in a stream of chunks. The bytes go through as they are; what frames them is checked. */
import type { Framing } from './framing.ts'
import { MessageError, parseFieldLine } from './head.ts'

export interface BodyReader {
  readonly done: boolean
  /** Takes what belongs to the body from `chunk`, from `from` on; returns where the rest begins. Throws MessageError. */
  take(chunk: Buffer, from: number): number
}

export function readBody(framing: Framing): BodyReader {
  switch (framing.kind) {
    case 'none':
      return emptyBody
    case 'length':
      return lengthBody(framing.bytes)
    case 'chunked':
      return chunkedBody()
    case 'close':
      return endlessBody
  }
}

const emptyBody: BodyReader = { done: true, take: (_chunk, from) => from }
const endlessBody: BodyReader = { done: false, take: (chunk) => chunk.length }

function lengthBody(bytes: number): BodyReader {
  let left = bytes
  return {
    get done() {
      return left === 0
    },
    take(chunk, from) {
      const taken = Math.min(left, chunk.length - from)
      left -= taken
      return from + taken
    },
  }
}

const longestChunkLine = 256
const longestTrailersBytes = 8_192
const lineFeed = 10
const carriageReturn = 13

/** `size` and `trailer` gather a line; `dataEnd` wants the CRLF after a chunk. */
type Stage = 'size' | 'data' | 'dataEnd' | 'trailer' | 'done'

function chunkedBody(): BodyReader {
  let stage: Stage = 'size'
  let left = 0
  let line = ''
  let trailersBytes = 0
  return {
    get done() {
      return stage === 'done'
    },
    take(chunk, from) {
      let at = from
      while (at < chunk.length && stage !== 'done') {
        if (stage === 'data') {
          const taken = Math.min(left, chunk.length - at)
          left -= taken
          at += taken
          if (left === 0) stage = 'dataEnd'
        } else {
          at = takeLine(chunk, at)
        }
      }
      return at
    },
  }

  function takeLine(chunk: Buffer, from: number): number {
    const found = chunk.indexOf(lineFeed, from)
    const end = found === -1 ? chunk.length : found + 1
    const most = stage === 'trailer' ? longestTrailersBytes : longestChunkLine
    if (line.length + end - from > most) throw new MessageError(400, 'a line between chunks is too long')
    line += chunk.toString('latin1', from, end)
    if (found === -1) return end
    if (line.length < 2 || line.charCodeAt(line.length - 2) !== carriageReturn) {
      throw new MessageError(400, 'a line between chunks does not end in CRLF')
    }
    const text = line.slice(0, -2)
    line = ''
    ended(text)
    return end
  }

  function ended(text: string): void {
    if (stage === 'dataEnd') {
      if (text !== '') throw new MessageError(400, 'a chunk is longer than it says')
      stage = 'size'
    } else if (stage === 'size') {
      left = chunkSize(text)
      stage = left === 0 ? 'trailer' : 'data'
    } else if (text === '') {
      stage = 'done'
    } else {
      trailersBytes += text.length + 2
      if (trailersBytes > longestTrailersBytes) throw new MessageError(431, 'the trailers are too long')
      checkTrailer(text)
    }
  }
}

function chunkSize(text: string): number {
  const size = /^([0-9A-Fa-f]{1,12})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?$/.exec(text)?.[1]
  if (size === undefined) throw new MessageError(400, 'the size of a chunk is not a number')
  return Number.parseInt(size, 16)
}

/** What decides framing, routing or who somebody is must not come after the body (RFC 9110 6.5.1). */
function checkTrailer(text: string): void {
  const { name } = parseFieldLine(text)
  if (neverTrailers.has(name) || name.startsWith('x-forwarded-')) {
    throw new MessageError(400, `the field ${name} can not be a trailer`)
  }
}

const neverTrailers: ReadonlySet<string> = new Set([
  'authorization',
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'cookie',
  'expect',
  'host',
  'keep-alive',
  'origin',
  'proxy-authorization',
  'set-cookie',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])
