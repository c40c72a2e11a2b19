/** The hub's log on standard error: JSON for machines, short lines for people at a terminal. */
import { pino } from 'pino'
import { z } from 'zod'
import type { Configuration } from '../../config/schema.ts'
import type { Log } from '../../spawners/spawner.ts'
import type { Terminal } from './command.ts'
import { lineSink } from './line-sink.ts'

export function createLog({ level, pretty }: Configuration['log'], terminal: Terminal): Log {
  const options = { level, base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters }
  if (!(pretty ?? terminal.isTerminal)) return pino(options, lineSink(process.stderr, missingLine))
  return pino(options, { write: (line: string) => terminal.error(forPeople(line.trimEnd())) })
}

/** 'info' and not 30, as in the proxy's log. */
const formatters = { level: (label: string) => ({ level: label }) }

function missingLine(count: number): string {
  const msg = 'lines of the log are missing here: nobody read them in time'
  return `${JSON.stringify({ level: 'warn', time: new Date().toISOString(), lines: count, msg })}\n`
}

const entrySchema = z.looseObject({ level: z.string(), time: z.string(), msg: z.string().default('') })

function forPeople(line: string): string {
  const { level, time, msg, ...fields } = entrySchema.parse(JSON.parse(line))
  const rest = Object.entries(fields).map(([key, value]) => `${key}=${short(value)}`)
  return [time.slice(11, 19), level, msg, ...rest].join('  ')
}

/** Of errors the message: their stacks are in the JSON form. */
function short(value: unknown): string {
  if (typeof value === 'object' && value !== null && 'message' in value) return JSON.stringify(value.message)
  return JSON.stringify(value)
}
