/** An upgraded connection: bytes both ways, at the pace of the slower side. */
import type { Client } from './client.ts'
import { closeFrame, followFrames } from './frames.ts'
import type { Inlets } from './inlets.ts'
import type { Upstream } from './upstream.ts'

export interface Tunnel {
  /** Tells the browser with a close frame, then ends; at once when that can't be done within a second. */
  close(code: number, reason: string): void
}

export interface TunnelOptions {
  readonly client: Client
  readonly upstream: Upstream
  readonly inlets: Inlets
  /** What came with the two heads. */
  readonly early: Readonly<{ fromClient?: Buffer; fromUpstream?: Buffer }>
  /** What of the browser's bytes goes on; absent: all. */
  readonly passed?: (chunk: Buffer) => Buffer
  /** A data frame from the browser. */
  active(): void
  sent(bytes: number): void
  received(bytes: number): void
  /** Both sides are gone. */
  closed(): void
}

/** Once one side has ended, the other gets this long; a side whose network died would never end. */
const lingerMs = 5_000
const tellMs = 1_000

export function openTunnel(options: TunnelOptions): Tunnel {
  const { client, upstream, inlets } = options
  const fromBrowser = followFrames()
  const fromServer = followFrames()
  let goodbye: Buffer | undefined
  let gone = 0

  client.handler = {
    data(given) {
      options.received(given.length)
      const chunk = options.passed === undefined ? given : options.passed(given)
      if (fromBrowser.take(chunk)) options.active()
      if (!upstream.socket.write(chunk)) client.socket.pause()
      inlets.giveBack(chunk, upstream.socket)
    },
    drained: () => upstream.socket.resume(),
    ended() {
      upstream.socket.end()
      linger()
    },
    closed() {
      upstream.socket.destroy()
      left()
    },
  }
  upstream.user = {
    connected() {},
    data(chunk) {
      if (goodbye !== undefined && fromServer.atBoundary) return farewell()
      options.sent(chunk.length)
      fromServer.take(chunk)
      if (!client.socket.write(chunk)) upstream.socket.pause()
      inlets.giveBack(chunk, client.socket)
      return undefined
    },
    drained: () => client.socket.resume(),
    ended() {
      client.socket.end()
      linger()
    },
    closed() {
      // Not destroyed at once: what was written last must arrive. A browser that no longer reads is cut off later.
      client.socket.end()
      linger()
      left()
    },
  }
  if (options.early.fromUpstream !== undefined) upstream.user.data(options.early.fromUpstream)
  if (options.early.fromClient !== undefined) client.handler.data(options.early.fromClient)

  return {
    close(code, reason) {
      if (goodbye !== undefined) return
      goodbye = closeFrame(code, reason)
      if (fromServer.atBoundary) farewell()
      else client.deadlineAt = performance.now() + tellMs
    },
  }

  function farewell(): void {
    if (goodbye !== undefined && client.socket.writable) client.socket.end(goodbye)
    upstream.socket.destroy()
    client.deadlineAt = performance.now() + tellMs
  }

  function linger(): void {
    const until = performance.now() + lingerMs
    client.deadlineAt = client.deadlineAt === 0 ? until : Math.min(client.deadlineAt, until)
    upstream.deadlineAt = client.deadlineAt
  }

  function left(): void {
    gone += 1
    if (gone === 2) options.closed()
  }
}
