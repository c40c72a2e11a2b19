/** Follows the hub's changes: a whole table on each connection, then each change in its order (see feed.ts). */
import { WebSocket } from 'ws'
import type { Activity } from './activity.ts'
import { hubMessageSchema, type HubMessage, type ProxyMessage } from './feed.ts'
import type { Log } from './log.ts'

export interface FollowerOptions {
  /** Of the hub's private listener: ws://…, or ws+unix:<socket>:/proxy/feed. */
  readonly url: string
  readonly secret: string
  readonly log: Log
  readonly activity: Activity
  /** Long uploads and downloads. */
  readonly transfers: Activity
  readonly random: () => number
  /** Resolves when every worker has it, and what must outlive this process is on the disk. */
  apply(message: HubMessage): Promise<void>
}

export interface Follower {
  readonly connected: boolean
  /** When the last message or pong came, on performance.now()'s clock; undefined: never yet. */
  readonly heardAt: number | undefined
  stop(): void
}

const longestMessageBytes = 256 * 2 ** 20
const handshakeMs = 5_000
const pingEveryMs = 10_000
const activityEveryMs = 10_000
const shortestBackoffMs = 100
const longestBackoffMs = 10_000

export function followHub(options: FollowerOptions): Follower {
  const { log, activity, transfers } = options
  let stopped = false
  let failures = 0
  let socket: WebSocket | undefined
  let heardAt: number | undefined
  let connected = false
  let retry: NodeJS.Timeout | undefined
  const activityTimer = setInterval(sendActivity, activityEveryMs)
  connect()

  return {
    get connected() {
      return connected
    },
    get heardAt() {
      return heardAt
    },
    stop() {
      stopped = true
      clearTimeout(retry)
      clearInterval(activityTimer)
      sendActivity()
      socket?.close()
    },
  }

  function connect(): void {
    const opened = new WebSocket(options.url, {
      headers: { authorization: `Bearer ${options.secret}` },
      handshakeTimeout: handshakeMs,
      maxPayload: longestMessageBytes,
      perMessageDeflate: false,
    })
    socket = opened
    let seq: number | undefined
    let answered = true
    let cause = 'it was closed'
    // One after the other: a change must not overtake the table before it.
    let queue = Promise.resolve()
    const ping = setInterval(() => {
      if (!answered) opened.terminate()
      answered = false
      if (opened.readyState === WebSocket.OPEN) opened.ping()
    }, pingEveryMs)
    opened.on('pong', () => {
      answered = true
      heardAt = performance.now()
    })
    opened.on('message', (data: Buffer) => {
      answered = true
      heardAt = performance.now()
      const message = read(data)
      const isNext = message?.type === 'table' || (seq !== undefined && message?.seq === seq + 1)
      if (message === undefined || !isNext) {
        cause = message === undefined ? 'a message was not understood' : `a change is missing after ${seq}`
        opened.terminate()
        return
      }
      seq = message.seq
      queue = queue.then(() => applied(opened, message))
    })
    opened.on('error', (error) => (cause = error.message))
    opened.on('close', () => {
      clearInterval(ping)
      if (connected) log.warn({ cause }, 'the feed of the hub broke off; routes stay as they are')
      else if (failures === 0) log.warn({ cause }, 'the feed of the hub can not be reached; it is tried again')
      connected = false
      if (socket === opened) socket = undefined
      again()
    })
  }

  async function applied(from: WebSocket, message: HubMessage): Promise<void> {
    try {
      await options.apply(message)
    } catch (error) {
      log.error({ err: error }, 'a change of the hub could not be taken; the whole table is asked for again')
      from.terminate()
      return
    }
    if (message.type === 'table') {
      connected = true
      failures = 0
      log.info({ routes: message.routes.length, seq: message.seq }, 'the whole table of the hub is here')
    }
    send(from, { type: 'ack', seq: message.seq })
  }

  function again(): void {
    if (stopped) return
    const most = Math.min(longestBackoffMs, shortestBackoffMs * 2 ** Math.min(failures, 10))
    failures += 1
    retry = setTimeout(connect, most / 2 + (options.random() * most) / 2)
  }

  function sendActivity(): void {
    if (socket === undefined || !connected) return
    const [at, moving] = [activity.take(), transfers.take()]
    if (Object.keys(at).length + Object.keys(moving).length === 0) return
    send(socket, { type: 'activity', at, transfers: moving }, (error) => {
      if (error === undefined || error === null) return
      activity.add(at)
      transfers.add(moving)
    })
  }
}

function send(socket: WebSocket, message: ProxyMessage, done?: (error?: Error | null) => void): void {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message), done)
  else done?.(new Error('not connected'))
}

function read(data: Buffer): HubMessage | undefined {
  try {
    return hubMessageSchema.parse(JSON.parse(data.toString()))
  } catch {
    // Told by the caller, which closes the connection.
    return undefined
  }
}
