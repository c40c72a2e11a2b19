/**
 * One server-sent event stream (WHATWG HTML, 9.2): bounded, with heartbeats, and closed when its reader is too slow.
 * Each event carries whole state, so a reconnecting reader needs no replay: Last-Event-ID is accepted and ignored.
 */
import { PassThrough } from 'node:stream'
import type { Context } from 'koa'

export interface EventStream {
  send(event: string, data: unknown): void
  /** `retryMs`: when the reader may come again, unless it knows better. */
  close(options?: { retryMs: number }): void
  readonly closed: AbortSignal
}

/** More than this unread: the reader is gone or too slow; it reconnects by itself. */
const mostUnreadBytes = 256 * 1024
const retryMs = 3_000
/** How long the reader has for what was sent before the end. */
const lastLinesMs = 5_000

export function openEventStream(ctx: Context): EventStream {
  const stream = new PassThrough({ highWaterMark: mostUnreadBytes })
  const gone = new AbortController()
  let count = 0
  stream.once('close', () => gone.abort('closed'))
  // Also when the stream was never read from: an answer to HEAD, or a reader that left at once.
  ctx.res.once('close', () => stream.destroy())
  // Koa destroys the stream when the response is over, with an error when it ended early: that is no news.
  stream.on('error', () => {})
  ctx.status = 200
  ctx.set('Content-Type', 'text/event-stream; charset=utf-8')
  ctx.set('Cache-Control', 'no-store')
  ctx.set('X-Accel-Buffering', 'no')
  ctx.req.socket.setNoDelay(true)
  ctx.body = stream
  const write = (text: string): void => {
    if (gone.signal.aborted || stream.writableEnded) return
    if (stream.writableLength + stream.readableLength > mostUnreadBytes) stream.destroy()
    else stream.write(text)
  }
  write(`retry: ${retryMs}\n\n`)
  return {
    send(event, data) {
      count += 1
      write(`id: ${count}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
    },
    close(options) {
      if (options) write(`retry: ${options.retryMs}\n\n`)
      stream.end()
      gone.abort('closed')
      setTimeout(() => stream.destroy(), lastLinesMs).unref()
    },
    closed: gone.signal,
  }
}
