/** One connection from a browser: heads are read, requests are answered one after the other in their order. */
import type { Socket } from 'node:net'
import type { Timed } from '../deadlines.ts'
import { refusalText, renderAnswer } from '../http/answer.ts'
import { requestFraming, type Framing } from '../http/framing.ts'
import { headLength, MessageError, parseRequestHead, type RequestHead } from '../http/head.ts'
import type { Forwarding } from './forwarding.ts'

/** Who gets what the browser sends now. */
interface ClientUser {
  data(chunk: Buffer): void
  drained(): void
  /** It will send no more. */
  ended(): void
  closed(): void
}

export interface Client extends Timed {
  readonly socket: Socket
  readonly address: string
  readonly secure: boolean
  handler: ClientUser
  /** A request is being answered. */
  busy: boolean
  /** The browser has sent its FIN. */
  halfClosed: boolean
  /** The current one is answered whole: reads the next, beginning with `rest`, or ends the connection. */
  finished(options: { keep: boolean; rest?: Buffer }): void
  /** No more requests on this connection; the one that runs is answered first. */
  retire(): void
}

const lingerMs = 2_000

export function serveClient(socket: Socket, forwarding: Forwarding): Client {
  const { limits, deadlines } = forwarding
  let pending: Buffer | undefined
  let retired = false
  let closing = false
  let arrivedBytes = 0
  const reading: ClientUser = { data: append, drained() {}, ended: endReading, closed() {} }
  const client: Client = {
    socket,
    address: socket.remoteAddress ?? '',
    secure: 'encrypted' in socket,
    handler: reading,
    busy: false,
    halfClosed: false,
    deadlineAt: performance.now() + limits.headMs,
    expired() {
      if (!client.busy && !closing && pending !== undefined)
        refuse(new MessageError(408, 'the request came too slowly'))
      else if (!closing || !isStillReading()) socket.destroy()
    },
    finished({ keep, rest }) {
      client.busy = false
      client.handler = reading
      const isLast = client.halfClosed && (rest === undefined || rest.length === 0)
      if (!keep || retired || isLast || socket.writableEnded) return end()
      client.deadlineAt = deadlines.nowMs + limits.keepAliveMs
      if (rest === undefined || rest.length === 0) socket.resume()
      else pipelined(rest)
      return undefined
    },
    retire() {
      retired = true
      if (!client.busy && !closing) end()
    },
  }

  deadlines.things.add(client)
  forwarding.clients.add(client)
  socket.setNoDelay(true)
  forwarding.inlets.attach(socket, take)
  socket.on('drain', () => {
    forwarding.inlets.drained(socket)
    client.handler.drained()
  })
  socket.on('end', () => {
    client.halfClosed = true
    client.handler.ended()
  })
  // A broken connection is told by 'close', which follows.
  socket.on('error', () => {})
  socket.on('close', () => {
    deadlines.things.delete(client)
    forwarding.clients.delete(client)
    client.handler.closed()
  })
  // What is left to its flow is read, once it flows.
  socket.resume()
  return client

  function take(chunk: Buffer): void {
    try {
      client.handler.data(chunk)
    } catch (error) {
      forwarding.bug(error)
      socket.destroy()
    }
  }

  function append(chunk: Buffer): void {
    if (closing) return
    const bytes = pending === undefined ? chunk : Buffer.concat([pending, chunk])
    // The time for a head runs from its first byte, not from its last.
    if (pending === undefined) client.deadlineAt = performance.now() + limits.headMs
    pending = undefined
    try {
      begin(bytes)
    } catch (error) {
      if (!(error instanceof MessageError)) throw error
      refuse(error)
    }
  }

  /** Not at once: a thousand requests in one packet would be a thousand calls deep. */
  function pipelined(rest: Buffer): void {
    socket.pause()
    setImmediate(() => {
      if (closing || socket.destroyed) return
      socket.resume()
      take(rest)
    })
  }

  function begin(bytes: Buffer, emptyLines = 0): void {
    const length = headLength(bytes)
    if (length > limits.headBytes || (length === -1 && bytes.length > limits.headBytes)) {
      throw new MessageError(431, `the head is longer than ${limits.headBytes} bytes`)
    }
    if (length === -1) {
      // No head begins with a blank or a control character; one empty line before it is tolerated (RFC 9112 2.2).
      if ((bytes[0] ?? 0) < 0x21 && (emptyLines > 0 || !isEmptyLine(bytes))) {
        throw new MessageError(400, 'this is not HTTP')
      }
      pending = bytes
      if (client.halfClosed) end()
      return
    }
    if (emptyLines === 0 && isEmptyLine(bytes)) return begin(bytes.subarray(2), 1)
    const head = parseRequestHead(bytes, length)
    const framing = requestFraming(head)
    client.busy = true
    client.deadlineAt = 0
    start(head, framing, bytes.subarray(length))
  }

  function start(head: RequestHead, framing: Framing, rest: Buffer): void {
    try {
      forwarding.handle({ client, head, framing, rest })
    } catch (error) {
      client.busy = false
      throw error
    }
  }

  function refuse(error: MessageError): void {
    forwarding.refused(client, error)
    if (socket.writable) socket.write(renderAnswer(refusalText(error), { head: false, close: true }))
    end()
  }

  function endReading(): void {
    if (!client.busy) end()
  }

  /** The last bytes are under way to a slow browser: it gets as long again as it takes some of them. */
  function isStillReading(): boolean {
    const arrived = socket.bytesWritten - socket.writableLength
    if (socket.writableLength === 0 || arrived === arrivedBytes) return false
    arrivedBytes = arrived
    client.deadlineAt = performance.now() + limits.headMs
    return true
  }

  /** Ends politely: a reset would take an answer with it that is still under way, so what still comes is read. */
  function end(): void {
    if (closing) return
    closing = true
    pending = undefined
    client.deadlineAt = performance.now() + lingerMs
    socket.end()
    socket.resume()
  }
}

function isEmptyLine(bytes: Buffer): boolean {
  return bytes[0] === 13 && (bytes.length === 1 || bytes[1] === 10)
}
