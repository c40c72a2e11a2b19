/** One request and its answer through an upstream: streamed both ways, each at the pace of the side that reads. */
import { refusalText } from '../http/answer.ts'
import { readBody } from '../http/body.ts'
import { responseFraming, type Framing } from '../http/framing.ts'
import { headLength, joined, lists, MessageError, parseResponseHead, type ResponseHead } from '../http/head.ts'
import type { Client } from './client.ts'
import { renderRequestHead, renderResponseHead } from './fields.ts'
import type { Failure, Forward, Forwarding, Live } from './forwarding.ts'
import { PoolFull, type Waiting } from './pool.ts'
import type { Request } from './request.ts'
import { respond } from './respond.ts'
import { startTunnel } from './start-tunnel.ts'
import { UpstreamTimeout, type UpstreamUser } from './upstream.ts'

const longestExtraBytes = 65_536
const longestResponseHeadBytes = 65_536
const mostInterim = 16
/** How long an answer to a browser that has sent its FIN may pause. */
const halfOpenMs = 5_000
/** Sending them twice does what sending them once does. */
const repeatable: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])
const nothing = Buffer.alloc(0)

export function startExchange(
  forwarding: Forwarding,
  client: Client,
  request: Request,
  decision: Forward,
  rest: Buffer,
): void {
  const { limits, deadlines, inlets } = forwarding
  const { pool } = decision
  const body = readBody(request.framing)
  let held: Buffer[] = []
  let extra: Buffer = nothing
  let collected: Buffer | undefined
  let answer: { head: ResponseHead; framing: Framing; body: ReturnType<typeof readBody>; keep: boolean } | undefined
  let connected = false
  let retried = false
  let trailing = false
  let interim = 0
  let bytesIn = 0
  let bytesOut = 0
  let over = false

  const live: Live = {
    slot: -1,
    entry: decision.entry,
    route: decision.route,
    kind: 'http',
    moved: () => bytesIn + bytesOut,
    cut() {
      client.socket.destroy()
    },
    drain() {},
  }
  const user: UpstreamUser = { connected: begin, data: answerBytes, drained: resumeClient, ended, closed }
  forwarding.live.add(live)
  client.handler = {
    data: requestBytes,
    drained() {
      client.deadlineAt = body.done ? 0 : deadlines.nowMs + limits.stallMs
      place.upstream?.socket.resume()
    },
    ended() {
      // A FIN may mean half closed or gone, and only writing tells: it gets its answer as long as that goes on.
      if (body.done) client.deadlineAt = deadlines.nowMs + halfOpenMs
      else client.socket.destroy()
    },
    closed() {
      if (over) return
      drop()
      record(answer?.head.status ?? 499, 'left: the browser closed the connection')
    },
  }
  // What `acquire` calls back at once must find `place`.
  let place: Waiting = { upstream: undefined, cancel() {} }
  if (rest.length > 0) requestBytes(rest)
  if (over) return
  if (!body.done) client.socket.pause()
  place = pool.acquire(user, { fresh: false })
  if (place.upstream !== undefined && place.upstream.ready && !connected) begin()

  function begin(): void {
    const upstream = place.upstream
    if (upstream === undefined || over || connected) return
    connected = true
    upstream.deadlineAt = deadlines.nowMs + limits.responseHeadMs
    const head = renderRequestHead(request, decision.request)
    const bytes = Buffer.from(head, 'latin1')
    upstream.socket.write(held.length === 0 ? bytes : Buffer.concat([bytes, ...held]))
    held = []
    if (body.done) return
    client.deadlineAt = deadlines.nowMs + limits.stallMs
    client.socket.resume()
  }

  function requestBytes(chunk: Buffer): void {
    let end = 0
    if (!body.done) {
      try {
        end = body.take(chunk, 0)
      } catch (error) {
        return garbledRequest(error)
      }
      sendBody(end === chunk.length ? chunk : chunk.subarray(0, end))
      // What follows the body is in the same buffer, and is kept.
      if (end === chunk.length && connected && place.upstream !== undefined) {
        inlets.giveBack(chunk, place.upstream.socket)
      }
    }
    if (end === chunk.length) return undefined
    extra = extra.length === 0 ? chunk.subarray(end) : Buffer.concat([extra, chunk.subarray(end)])
    if (extra.length > longestExtraBytes) client.socket.pause()
    return undefined
  }

  function sendBody(bytes: Buffer): void {
    bytesIn += bytes.length
    client.deadlineAt = body.done ? 0 : deadlines.nowMs + limits.stallMs
    if (!connected) held.push(bytes)
    else if (place.upstream !== undefined && !place.upstream.socket.write(bytes)) client.socket.pause()
  }

  function resumeClient(): void {
    if (!body.done) client.socket.resume()
  }

  function answerBytes(chunk: Buffer): void {
    try {
      if (answer === undefined) answerHead(collected === undefined ? chunk : Buffer.concat([collected, chunk]))
      else answerBody(chunk, 0, '')
    } catch (error) {
      if (!(error instanceof MessageError)) throw error
      fail({ is: 'garbled', cause: error.message })
    }
  }

  function answerHead(bytes: Buffer): void {
    const length = headLength(bytes)
    if (length === -1 || length > longestResponseHeadBytes) {
      if (bytes.length > longestResponseHeadBytes) throw new MessageError(502, 'the head of the answer is too long')
      collected = bytes
      return
    }
    collected = undefined
    const head = parseResponseHead(bytes, length)
    if (head.status === 101) return upgraded(head, bytes.subarray(length))
    if (head.status < 200) return interimAnswer(head, bytes.subarray(length))
    if (place.upstream !== undefined) place.upstream.deadlineAt = 0
    const framing = responseFraming(head, request.method)
    const keep =
      request.keepAlive && request.head.minor === 1 && framing.kind !== 'close' && body.done && !forwarding.draining
    answer = { head, framing, body: readBody(framing), keep }
    const text = renderResponseHead(head, framing, decision.response, { keepAlive: keep, upgraded: false })
    answerBody(bytes, length, text)
  }

  function interimAnswer(head: ResponseHead, rest: Buffer): void {
    interim += 1
    if (interim > mostInterim) throw new MessageError(502, 'there are too many interim answers')
    if (request.head.minor === 1) {
      const text = renderResponseHead(head, { kind: 'none' }, decision.response, { keepAlive: true, upgraded: false })
      client.socket.write(text, 'latin1')
    }
    if (rest.length > 0) answerHead(rest)
  }

  function upgraded(head: ResponseHead, rest: Buffer): void {
    const { upstream } = place
    if (request.upgrade === undefined || joined(head, 'upgrade')?.toLowerCase() !== 'websocket') {
      throw new MessageError(502, 'the answer changes to a protocol that nobody asked for')
    }
    if (upstream === undefined) return
    over = true
    forwarding.live.delete(live)
    pool.detach(upstream)
    upstream.deadlineAt = 0
    startTunnel({ forwarding, client, request, decision, upstream, head, fromClient: extra, fromUpstream: rest })
  }

  function answerBody(chunk: Buffer, from: number, head: string): void {
    if (answer === undefined) return
    const end = answer.body.take(chunk, from)
    trailing ||= end < chunk.length
    bytesOut += end - from
    const flowing = send(chunk, from, end, head)
    if (answer.body.done) return finish()
    if (client.halfClosed) client.deadlineAt = deadlines.nowMs + halfOpenMs
    if (!flowing) {
      client.deadlineAt = deadlines.nowMs + limits.stallMs
      place.upstream?.socket.pause()
    }
    return undefined
  }

  function send(chunk: Buffer, from: number, end: number, head: string): boolean {
    const bytes = from === 0 && end === chunk.length ? chunk : chunk.subarray(from, end)
    const flowing = client.socket.write(head === '' ? bytes : headed(head, bytes))
    inlets.giveBack(chunk, client.socket)
    return flowing
  }

  function ended(): void {
    if (answer?.framing.kind === 'close') finish()
    else place.upstream?.socket.destroy()
  }

  function closed(cause: Error | undefined): void {
    const { upstream } = place
    if (over) return
    if (answer?.framing.kind === 'close' && cause === undefined) return finish()
    const isStale = upstream?.reused === true && collected === undefined && answer === undefined && interim === 0
    if (isStale && !retried && repeatable.has(request.method) && request.framing.kind === 'none') {
      retried = true
      connected = false
      place = pool.acquire(user, { fresh: true })
      return undefined
    }
    return fail({ is: failureOf(cause, upstream?.ready === true), cause: cause?.message ?? 'it closed the connection' })
  }

  function garbledRequest(error: unknown): void {
    if (!(error instanceof MessageError)) throw error
    drop()
    if (answer !== undefined || client.socket.writableLength > 0) client.socket.destroy()
    else own(refusalText(error), `badBody: ${error.message}`)
  }

  function fail(failure: Failure): void {
    if (over) return
    drop()
    // Half an answer can only be broken off, so that nobody takes it for a whole one.
    if (answer !== undefined) {
      client.socket.destroy()
      record(answer.head.status, `${failure.is}: ${failure.cause}`)
    } else own(forwarding.gate.explain(request, decision, failure), `${failure.is}: ${failure.cause}`)
  }

  function own(answer: Parameters<typeof respond>[0]['answer'], cause: string): void {
    over = true
    forwarding.live.delete(live)
    const { route, entry } = decision
    respond({ forwarding, client, request, answer, rest: extra, bodyDone: body.done, bytesIn, route, entry, cause })
  }

  function finish(): void {
    const { upstream } = place
    if (answer === undefined || over) return
    if (upstream !== undefined && !upstream.closed) {
      if (mayReuse() && body.done) {
        upstream.keepAliveMs = Math.min(upstream.keepAliveMs, hintedKeepAliveMs(answer.head))
        pool.release(upstream)
      } else {
        upstream.user = undefined
        upstream.socket.destroy()
      }
    }
    record(answer.head.status, undefined)
    client.finished({ keep: answer.keep && body.done, rest: extra })
  }

  function mayReuse(): boolean {
    if (answer === undefined || trailing || answer.framing.kind === 'close') return false
    if (request.head.minor === 0 || answer.head.minor === 0) return false
    return !lists(joined(answer.head, 'connection'), 'close')
  }

  /** Gives up what is behind. */
  function drop(): void {
    place.cancel()
    if (place.upstream === undefined) return
    place.upstream.user = undefined
    place.upstream.socket.destroy()
  }

  function record(status: number, cause: string | undefined): void {
    if (over) return
    over = true
    forwarding.live.delete(live)
    const { route, entry } = decision
    forwarding.done({ request, status, kind: 'http', route, entry, bytesIn, bytesOut, cause })
  }
}

/** One buffer, and so one packet. */
function headed(head: string, body: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(head.length + body.length)
  bytes.write(head, 0, 'latin1')
  body.copy(bytes, head.length)
  return bytes
}

function failureOf(cause: Error | undefined, ready: boolean): Failure['is'] {
  if (cause instanceof PoolFull) return 'full'
  if (cause instanceof UpstreamTimeout) return ready ? 'timeout' : 'unreachable'
  return ready ? 'closed' : 'unreachable'
}

/** A server says how long it keeps a connection; a second less, so that it is never used as it closes. */
function hintedKeepAliveMs(head: ResponseHead): number {
  const at = head.names.indexOf('keep-alive')
  if (at === -1) return Number.POSITIVE_INFINITY
  const seconds = /(?:^|[,;\s])timeout=(\d{1,6})/.exec(head.values[at] ?? '')?.[1]
  return seconds === undefined ? Number.POSITIVE_INFINITY : (Number(seconds) - 1) * 1_000
}
