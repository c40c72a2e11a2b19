/** `hutch check FILE`: every mistake of a configuration, before anybody meets one. */
import { ConfigurationError, mistakeLine, type Mistake } from '../../config/mistake.ts'
import { readArguments, UsageError } from './arguments.ts'
import type { Command, Terminal } from './command.ts'
import { exitCodes } from './failure.ts'
import { loadSettings } from './settings.ts'

export const check: Command = {
  help: `Usage: hutch check FILE [--json]

Reads a configuration as hutch start would, and tells every mistake at once, one line for each:
  FILE:LINE:COLUMN  field: what is wrong; remedy
Nothing is started, and the files of secrets are looked at but never shown.

Options
  --json      prints {"ok", "mistakes": [{file, line, column, field, message}], "warnings": [...]} instead
  --help      prints this

Exits with 0 when the configuration can be used (there may be warnings), with 1 when it can't.`,

  async run(argv, terminal) {
    const { values, positionals } = readArguments(
      'hutch check',
      argv,
      { json: { type: 'boolean' } },
      { positionals: 1 },
    )
    const [file] = positionals
    if (file === undefined) throw new UsageError('FILE is missing; see hutch check --help')
    const { mistakes, warnings } = await look(file, terminal.folder)
    const ok = mistakes.length === 0
    if (values.json === true) terminal.print(JSON.stringify({ ok, mistakes, warnings }, null, 2))
    else tell(terminal, file, mistakes, warnings)
    return ok ? exitCodes.ok : exitCodes.failure
  },
}

async function look(
  file: string,
  folder: string,
): Promise<{ mistakes: readonly Mistake[]; warnings: readonly Mistake[] }> {
  try {
    const { warnings } = await loadSettings({ file, folder })
    return { mistakes: [], warnings }
  } catch (error) {
    if (error instanceof ConfigurationError) return { mistakes: error.mistakes, warnings: [] }
    throw error
  }
}

function tell(terminal: Terminal, file: string, mistakes: readonly Mistake[], warnings: readonly Mistake[]): void {
  for (const mistake of mistakes) terminal.error(mistakeLine(mistake))
  for (const warning of warnings) terminal.error(`warning: ${mistakeLine(warning)}`)
  if (mistakes.length === 0) terminal.print(`${file} can be used`)
  else terminal.error(mistakes.length === 1 ? '1 mistake' : `${mistakes.length} mistakes`)
}
