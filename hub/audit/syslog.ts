/**
 * Lines of the audit trail to a syslog daemon, as they are committed. The store keeps the whole trail: what a daemon
 * missed while it was away longer than the queue holds is there, for `hutch audit export`.
 */
import { createSocket } from 'node:dgram'
import { hostname } from 'node:os'
import { connect, type Socket } from 'node:net'
import type { Configuration } from '../../config/schema.ts'
import type { Log } from '../../spawners/spawner.ts'
import type { AuditLine } from './entry.ts'
import { syslogMessage } from './syslog-message.ts'

export interface Syslog {
  /** Never waits and never throws. */
  send(line: AuditLine): void
  /** Sends what is queued, for a moment. */
  close(): Promise<void>
}

type SyslogConfiguration = NonNullable<Configuration['audit']['syslog']>

/** One message at a time: resolves when the system took it, rejects when nobody is there. */
interface Wire {
  send(message: Buffer): Promise<void>
  close(): void
}

const mostQueued = 10_000
const sendTimeoutMs = 5_000
const retryMs = 1_000
const closeTimeoutMs = 2_000

export function createSyslog(configuration: SyslogConfiguration, log: Log): Syslog {
  const queue: Buffer[] = []
  const host = configuration.hostname ?? hostname()
  const wire = createWire(configuration)
  let closed = false
  let lost = 0
  let wasDown = false
  let working: Promise<void> | undefined

  async function work(): Promise<void> {
    for (let message = queue[0]; message !== undefined; message = queue[0]) {
      try {
        await wire.send(message)
        queue.shift()
        if (wasDown) log.info({ lost }, 'syslog takes lines of the audit trail again')
        wasDown = false
        lost = 0
      } catch (error) {
        if (!wasDown) log.warn({ err: error }, 'syslog takes no lines of the audit trail; trying again')
        wasDown = true
        if (closed) return
        await new Promise((resolve) => setTimeout(resolve, retryMs).unref())
      }
    }
  }

  return {
    send(line) {
      if (closed) return
      if (queue.length >= mostQueued) {
        queue.splice(1, 1)
        lost += 1
      }
      queue.push(Buffer.from(syslogMessage(line, { ...configuration, hostname: host })))
      working ??= work().finally(() => (working = undefined))
    },
    async close() {
      closed = true
      const timer = setTimeout(() => wire.close(), closeTimeoutMs)
      await working
      clearTimeout(timer)
      wire.close()
    },
  }
}

function createWire({ to }: SyslogConfiguration): Wire {
  const url = new URL(to)
  // IPv6 addresses stand in brackets there.
  const host = url.hostname.replace(/^\[|\]$/g, '')
  switch (url.protocol) {
    case 'udp:':
      return datagramWire(host, Number(url.port || 514))
    case 'tcp:':
      return streamWire({ host, port: Number(url.port || 601) })
    case 'unix:':
      return streamWire({ path: decodeURIComponent(url.pathname) })
    default:
      throw new Error(`audit.syslog.to: ${url.protocol} is not a way to syslog`)
  }
}

/** RFC 5426: one datagram for each message; nobody says whether it arrived. */
function datagramWire(host: string, port: number): Wire {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4').unref()
  // An answer that nobody listens comes late, and belongs to no message.
  socket.on('error', () => undefined)
  return {
    send: (message) =>
      new Promise((resolve, reject) => {
        socket.send(message, port, host, (error) => (error ? reject(error) : resolve()))
      }),
    close: () => void socket.close(),
  }
}

/** RFC 6587, octet counting: a message may hold anything, line ends too. */
function streamWire(target: Readonly<{ path: string }> | Readonly<{ host: string; port: number }>): Wire {
  let socket: Socket | undefined

  async function connected(): Promise<Socket> {
    if (socket && !socket.destroyed && socket.writable) return socket
    const made = connect(target)
    made.unref()
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => made.destroy(new Error('syslog did not answer in time')), sendTimeoutMs)
      made.once('connect', () => {
        clearTimeout(timer)
        resolve()
      })
      made.once('error', reject)
      made.once('close', () => clearTimeout(timer))
    })
    made.on('error', () => undefined) // seen by the next message
    made.resume() // whatever it says
    socket = made
    return made
  }

  return {
    async send(message) {
      const open = await connected()
      const framed = Buffer.concat([Buffer.from(`${message.length} `), message])
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => open.destroy(new Error('syslog takes nothing')), sendTimeoutMs)
        open.write(framed, (error) => {
          clearTimeout(timer)
          if (error) reject(error)
          else resolve()
        })
      })
    },
    close: () => void socket?.end(),
  }
}
