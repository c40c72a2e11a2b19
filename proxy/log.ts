/** JSON lines on standard output. Written here and not by a library, so that a full pipe never stops the proxy. */
import type { Writable } from 'node:stream'
import type { Done } from './forward/forwarding.ts'

export type Level = 'debug' | 'info' | 'warn' | 'error'

type Write = (fields: Readonly<Record<string, unknown>>, message: string) => void
export type Log = Readonly<Record<Level, Write>>

export interface Logs {
  readonly log: Log
  access(done: Done): void
  /** Writes out what is buffered. */
  readonly flush: () => void
}

const ranks: Readonly<Record<Level, number>> = { debug: 0, info: 1, warn: 2, error: 3 }
const bufferedBytes = 16_384
const longestBacklogBytes = 4 * 2 ** 20
const flushEveryMs = 200

export function createLogs(options: {
  out: Writable
  level: Level
  access: boolean
  now: () => number
  worker?: number
}): Logs {
  const { out, level, now } = options
  const common = options.worker === undefined ? '' : `,"worker":${options.worker}`
  let buffer = ''
  let lost = 0
  let timer: NodeJS.Timeout | undefined
  // Whoever read the output is gone: the proxy goes on without.
  out.on('error', () => {})
  const write =
    (name: Level): Write =>
    (fields, message) => {
      if (ranks[name] < ranks[level]) return
      const { err, ...rest } = fields
      const error = err === undefined ? rest : { ...rest, err: describe(err) }
      add(
        `{"level":"${name}","time":"${new Date(now()).toISOString()}"${common},"msg":${JSON.stringify(message)}`,
        error,
      )
      flush()
    }
  const log: Log = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
  return {
    log,
    flush,
    access(done) {
      if (!options.access || ranks.info < ranks[level]) return
      add(`{"level":"info","time":"${new Date(now()).toISOString()}"${common},"msg":"request"`, accessFields(done))
      if (buffer.length > bufferedBytes) flush()
      else timer ??= setTimeout(flush, flushEveryMs)
    },
  }

  function add(head: string, fields: object): void {
    const text = JSON.stringify(fields)
    buffer += text === '{}' ? `${head}}\n` : `${head},${text.slice(1)}\n`
  }

  function flush(): void {
    clearTimeout(timer)
    timer = undefined
    if (buffer === '') return
    const text = buffer
    buffer = ''
    if (out.writableLength > longestBacklogBytes || out.destroyed) {
      lost += 1
      return
    }
    out.write(lost === 0 ? text : `{"level":"warn","msg":"blocks of log lines were lost","blocks":${lost}}\n${text}`)
    lost = 0
  }
}

/** Paths without their queries, which hold tickets, codes and tokens. */
function accessFields({ request, status, kind, route, entry, bytesIn, bytesOut, cause }: Done): object {
  return {
    request: request.id,
    kind,
    method: request.method,
    host: request.host,
    path: request.path,
    status,
    ms: Math.round((performance.now() - request.startedAt) * 10) / 10,
    in: bytesIn,
    out: bytesOut,
    from: request.address,
    ...(entry === undefined ? {} : { user: entry.user.name, role: entry.role }),
    ...(route === undefined ? {} : { environment: route.id }),
    ...(cause === undefined ? {} : { cause }),
  }
}

function describe(error: unknown): object {
  if (!(error instanceof Error)) return { message: String(error) }
  return { name: error.name, message: error.message, stack: error.stack }
}
