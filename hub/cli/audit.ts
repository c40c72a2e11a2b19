/** `hutch audit export`: the audit trail as JSON lines. */
import { join } from 'node:path'
import { z } from 'zod'
import { parseDuration } from '../../config/units.ts'
import { auditExporter, type AuditQuery } from '../audit/export.ts'
import { readArguments, UsageError } from './arguments.ts'
import type { Command } from './command.ts'
import { askControl } from './control-client.ts'
import { exitCodes } from './failure.ts'
import { createLog } from './log.ts'
import { offline } from './offline.ts'
import { loadSettings } from './settings.ts'

export const audit: Command = {
  help: `Usage: hutch audit export [--since WHEN] [--until WHEN] [--after ID] [--user NAME]

Prints the audit trail, one JSON object for each line, the oldest first: id, at, who, did, toWhom, what,
from, login or token, detail. Works while the hub runs and while it does not.

Options
  --since WHEN    from then on: a date such as 2026-03-01, a time in ISO 8601, or a length of time ago (24h)
  --until WHEN    before then
  --after ID      what was written after the line with this id: to go on where the last export ended
  --user NAME     what this person did, and what was done to them
  --config FILE   the hub's configuration; absent: the demo
  --state DIR     the hub's state folder; absent: as the configuration says
  --help          prints this`,

  async run(argv, terminal) {
    const name = 'hutch audit'
    const options = {
      since: { type: 'string' },
      until: { type: 'string' },
      after: { type: 'string', default: '0' },
      user: { type: 'string' },
      config: { type: 'string' },
      state: { type: 'string' },
    } as const
    const { values, positionals } = readArguments(name, argv, options, { positionals: 1 })
    if (positionals[0] !== 'export') throw new UsageError('say what to do: hutch audit export; see hutch audit --help')
    if (!/^\d{1,15}$/.test(values.after)) throw new UsageError('--after wants the id of a line; see hutch audit --help')
    const query: AuditQuery = {
      ...(values.since === undefined ? {} : { since: moment('since', values.since, Date.now()) }),
      ...(values.until === undefined ? {} : { until: moment('until', values.until, Date.now()) }),
      ...(values.user === undefined ? {} : { user: values.user }),
    }
    const { configuration } = await loadSettings({
      ...(values.config === undefined ? {} : { file: values.config }),
      ...(values.state === undefined ? {} : { state: values.state }),
      folder: terminal.folder,
    })
    const after = Number(values.after)
    const print = (line: object): void => terminal.print(JSON.stringify(line))
    const socketPath = join(configuration.state, 'run', 'control.sock')
    if (await exportFrom((at) => askHub(socketPath, { ...query, after: at }), after, print)) return exitCodes.ok
    const log = createLog({ level: 'warn' }, terminal)
    await offline(configuration, log, async ({ db }) => {
      const page = auditExporter(db)
      await exportFrom((at) => page({ ...query, after: at }), after, print)
    })
    return exitCodes.ok
  },
}

/** A date, a time, or how long ago. ms since the epoch. Throws UsageError. */
function moment(option: string, text: string, now: number): number {
  const ago = parseDuration(text)
  if (ago !== undefined) return now - ago
  const at = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(at))
    throw new UsageError(`--${option} wants 2026-03-01, 2026-03-01T12:00:00Z or 24h; see hutch audit --help`)
  return at
}

type Lines = readonly Readonly<{ id: number }>[]

/** Page by page. False: nobody is there to ask. */
async function exportFrom(
  ask: (after: number) => Promise<Lines | undefined>,
  first: number,
  print: (line: object) => void,
): Promise<boolean> {
  for (let after = first; ;) {
    const lines = await ask(after)
    if (lines === undefined) return false
    for (const line of lines) print(line)
    const last = lines.at(-1)
    if (last === undefined) return true
    after = last.id
  }
}

const answerSchema = z.object({ lines: z.array(z.looseObject({ id: z.int() })) })

async function askHub(socketPath: string, query: AuditQuery): Promise<Lines | undefined> {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) search.set(name, String(value))
  const answer = await askControl({ socketPath, method: 'GET', path: `/control/audit?${search.toString()}` })
  return answer === undefined ? undefined : answerSchema.parse(answer).lines
}
