/** Connections of HTTP/2 from browsers (RFC 9113): what one may hold and spend, and how they end. */
import { constants, performServerHandshake, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { Deadlines, Timed } from '../deadlines.ts'
import type { Limits } from '../forward/forwarding.ts'
import { MessageError } from '../http/head.ts'
import { requestBytes, type RequestBytes } from './request-bytes.ts'
import { stillConnected } from './still-connected.ts'
import { streamSocket } from './stream-socket.ts'

export interface Http2Options {
  readonly limits: Pick<Limits, 'headBytes' | 'headMs' | 'keepAliveMs' | 'stallMs'> &
    Readonly<{ streamsPerConnection: number }>
  readonly deadlines: Deadlines
  /** Takes a stream as if it were a connection. */
  readonly serve: (socket: Socket) => void
  /** No more requests can be taken just now. */
  readonly full: () => boolean
  readonly refused: (status: number) => void
  readonly abused: (what: string, address: string) => void
}

export interface Http2 {
  readonly serve: (socket: TLSSocket) => void
  readonly connections: number
  readonly streams: number
  /** Says so to browsers: new requests go elsewhere, those that run are finished. */
  drain(): void
  stop(): void
}

const mostFieldPairs = 200
const windowBytes = 262_144
const connectionWindowBytes = 2 ** 20
const lingerMs = 2_000
const lookEveryMs = 1_000
/** A page that is left takes all its requests back at once. */
const abortedBurst = 500
const abortedPerSecond = 50
const controlBurst = 100
const controlPerSecond = 10

export function serveHttp2(options: Http2Options): Http2 {
  const { limits } = options
  const sessions = new Set<ServerHttp2Session>()
  let streams = 0
  const settings = {
    enablePush: false,
    initialWindowSize: windowBytes,
    maxConcurrentStreams: limits.streamsPerConnection,
    maxHeaderListSize: limits.headBytes,
  }
  return {
    get connections() {
      return sessions.size
    },
    get streams() {
      return streams
    },
    serve(socket) {
      const address = socket.remoteAddress ?? ''
      socket.setNoDelay(true)
      socket.on('end', () => socket.destroy())
      const session = performServerHandshake(socket, {
        settings,
        maxHeaderListPairs: mostFieldPairs,
        maxSessionInvalidFrames: 100,
        maxSessionRejectedStreams: limits.streamsPerConnection,
        strictSingleValueFields: false,
      })
      watch(session, socket, address)
    },
    drain() {
      for (const session of sessions) session.close()
    },
    stop() {
      for (const session of sessions) session.destroy()
    },
  }

  function watch(session: ServerHttp2Session, socket: TLSSocket, address: string): void {
    let open = 0
    let moved = 0
    let movedAt = 0
    let isAsked = false
    const aborted = bucket(abortedBurst, abortedPerSecond)
    const control = bucket(controlBurst, controlPerSecond)
    // A session without a request waits as long as a connection of HTTP/1.1 does, however busy it looks.
    const timed: Timed = {
      deadlineAt: performance.now() + limits.headMs,
      expired() {
        // Its last words are waited for, though nobody may take them.
        if (session.destroyed) socket.destroy()
        else if (open > 0) look()
        else if (session.closed) destroy()
        else {
          timed.deadlineAt = performance.now() + lingerMs
          session.close()
        }
      },
    }
    sessions.add(session)
    options.deadlines.things.add(timed)
    session.setLocalWindowSize(connectionWindowBytes)
    session.on('remoteSettings', () => spend(control, 'settings'))
    session.on('ping', () => spend(control, 'pings'))
    session.on('error', () => {
      // Told by 'close', which follows.
    })
    session.on('close', () => {
      sessions.delete(session)
      options.deadlines.things.delete(timed)
    })
    session.on('stream', (stream, _headers, _flags, raw: readonly string[]) => {
      open += 1
      streams += 1
      timed.deadlineAt = options.deadlines.nowMs + lookEveryMs
      take(stream, raw, address, (whole) => {
        open -= 1
        streams -= 1
        if (open === 0 && !session.destroyed) {
          timed.deadlineAt = performance.now() + (session.closed ? lingerMs : limits.keepAliveMs)
        }
        if (!whole) spend(aborted, 'requests that are taken back')
      })
    })

    function spend(from: (now: number) => boolean, what: string): void {
      if (session.destroyed || from(performance.now())) return
      options.abused(`too many ${what}`, address)
      destroy(constants.NGHTTP2_ENHANCE_YOUR_CALM)
    }

    /** Streams have deadlines of their own, but none ends while the connection takes no word of it. */
    function look(): void {
      const now = performance.now()
      timed.deadlineAt = now + lookEveryMs
      const bytes = socket.bytesRead + socket.bytesWritten
      if (bytes !== moved) {
        moved = bytes
        movedAt = now
        isAsked = false
      } else if (!stillConnected(socket) || now - movedAt > limits.stallMs) socket.destroy()
      // Where requests wait for their answers nothing moves but this.
      else if (!isAsked && now - movedAt > limits.stallMs / 2) isAsked = session.ping(() => {})
    }

    function destroy(code?: number): void {
      timed.deadlineAt = performance.now() + lingerMs
      session.destroy(undefined, code)
    }
  }

  function take(
    stream: ServerHttp2Stream,
    raw: readonly string[],
    address: string,
    closed: (whole: boolean) => void,
  ): void {
    const refuse = (error: MessageError): void => {
      stream.on('error', () => {})
      stream.on('close', () => closed(true))
      options.refused(error.status)
      stream.respond({ ':status': error.status, 'content-type': 'text/plain; charset=utf-8' })
      stream.end(`${error.message}\n`)
      stream.resume()
    }
    let request: RequestBytes
    try {
      if (options.full()) throw new MessageError(503, 'there are too many requests at once')
      request = requestBytes(raw, stream.endAfterHeaders)
    } catch (error) {
      if (!(error instanceof MessageError)) throw error
      return refuse(error)
    }
    const method = raw[raw.indexOf(':method') + 1] ?? ''
    options.serve(streamSocket({ stream, address, method, request, closed }))
    return undefined
  }
}

/** False once more than `burst` at a time, or `perSecond` in the long run, were spent. */
function bucket(burst: number, perSecond: number): (now: number) => boolean {
  let left = burst
  let at = performance.now()
  return (now) => {
    left = Math.min(burst, left + ((now - at) * perSecond) / 1_000) - 1
    at = now
    return left >= 0
  }
}
