/** `hutch limits`: a file of limits under version control, compared with the running hub's and applied. */
import { readFile, stat } from 'node:fs/promises'
import { basename, extname, join, resolve } from 'node:path'
import { longestTextBytes, readDocument } from '../../config/document.ts'
import type { Applied } from '../quota/index.ts'
import { readArguments, UsageError } from './arguments.ts'
import type { Command } from './command.ts'
import { askControl } from './control-client.ts'
import { exitCodes } from './failure.ts'
import { loadSettings } from './settings.ts'

export const limits: Command = {
  help: `Usage: hutch limits diff FILE
       hutch limits apply [--dry-run] FILE

Compares the limits of a file with those that hold, and makes them hold. The file is under version control; it owns
the limits that were applied under its name, and no others: what is written on the page stays.
Prints a line for each limit: + it is added, - it is removed. The hub must run.

  limits:
    - { for: everyone, limit: cpus, most: 16 }
    - { for: 'group:imaging', limit: gpus, of: a100, most: 2 }
    - { for: 'proposal:*', limit: cpuHours, per: ever, most: shifts * 500, together: true }
    - { for: 'user:ada', limit: lifetime, most: 7d, until: 2026-12-24, note: thesis }

for: everyone, group:NAME, user:NAME, proposal:NUMBER, proposal:*. limit: cpus, memory, gpus, environments, cpuHours,
gpuHours, lifetime, idle, home. most: an amount with its unit; of a proposal also FIELD * amount.

Options
  --dry-run       only says what would change
  --source NAME   the name of its limits; absent: the file's, without its ending
  --config FILE   the hub's configuration; absent: the demo
  --state DIR     the hub's state folder; absent: as the configuration says
  --help          prints this`,

  async run(argv, terminal) {
    const options = {
      'dry-run': { type: 'boolean', default: false },
      source: { type: 'string' },
      config: { type: 'string' },
      state: { type: 'string' },
    } as const
    const { values, positionals } = readArguments('hutch limits', argv, options, { positionals: 2 })
    const [what, file] = positionals
    if (what !== 'diff' && what !== 'apply') throw new UsageError('say diff or apply; see hutch limits --help')
    if (file === undefined) throw new UsageError('the file of limits is missing; see hutch limits --help')
    const value = await readFileOf(resolve(terminal.folder, file))
    const { configuration } = await loadSettings({
      ...(values.config === undefined ? {} : { file: values.config }),
      ...(values.state === undefined ? {} : { state: values.state }),
      folder: terminal.folder,
    })
    const source = values.source ?? basename(file, extname(file))
    const answer = (await askControl({
      socketPath: join(configuration.state, 'run', 'control.sock'),
      method: 'POST',
      path: '/control/limits',
      content: { source, dryRun: what === 'diff' || values['dry-run'], value },
    })) as Applied | undefined
    if (answer === undefined) throw new Error('no hub runs there; start it with hutch start, then try again')
    for (const line of answer.removed) terminal.print(`- ${line}`)
    for (const line of answer.added) terminal.print(`+ ${line}`)
    if (answer.added.length + answer.removed.length === 0) terminal.error('Nothing changes.')
    return exitCodes.ok
  },
}

async function readFileOf(path: string): Promise<unknown> {
  const { size } = await stat(path)
  if (size > longestTextBytes) throw new UsageError(`${path} is larger than ${longestTextBytes} bytes`)
  const document = readDocument(await readFile(path, 'utf8'))
  if ('value' in document) return document.value
  const [first] = document.mistakes
  throw new Error(`${path}:${first?.line ?? 1}:${first?.column ?? 1}: ${first?.message ?? 'is not YAML'}`)
}
