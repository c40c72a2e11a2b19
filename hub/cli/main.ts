/** The command `hutch`: finds the subcommand, runs it, and turns whatever goes wrong into one line and an exit code. */
import { readFileSync } from 'node:fs'
import { nearest } from '../../config/nearest.ts'
import { plain } from '../../config/text.ts'
import { UsageError } from './arguments.ts'
import type { Command, Terminal } from './command.ts'
import { exitCodes, explain } from './failure.ts'
import { exitCodesHelp } from './help.ts'

/** Loaded when wanted: `hutch --help` need not load the hub. */
const commands: Readonly<Record<string, Readonly<{ summary: string; load: () => Promise<Command> }>>> = {
  start: {
    summary: 'starts the hub and its proxy; without a configuration, a demo on this machine',
    load: async () => (await import('./start.ts')).start,
  },
  check: {
    summary: 'tells every mistake of a configuration file',
    load: async () => (await import('./check.ts')).check,
  },
  token: {
    summary: "makes a token for scripts that use the hub's API",
    load: async () => (await import('./token.ts')).token,
  },
  audit: {
    summary: 'prints the audit trail as JSON lines',
    load: async () => (await import('./audit.ts')).audit,
  },
  user: {
    summary: "blocks people, or makes a person's records anonymous",
    load: async () => (await import('./user.ts')).user,
  },
  limits: {
    summary: 'compares limits with a file under version control, and applies it',
    load: async () => (await import('./limits.ts')).limits,
  },
  agent: {
    summary: 'writes what runs inside environments to a folder, for images and shared disks',
    load: async () => (await import('./agent.ts')).agent,
  },
  reference: {
    summary: 'prints the reference of the configuration',
    load: async () => (await import('./reference.ts')).reference,
  },
}

const help = `Usage: hutch COMMAND [options]

Notebooks, remote desktops and terminals beside the data of a scientific facility.

Commands
${Object.entries(commands)
  .map(([name, { summary }]) => `  ${name.padEnd(11)}${summary}`)
  .join('\n')}

  hutch COMMAND --help tells more. hutch --version prints the version.

${exitCodesHelp}`

export async function main(argv: readonly string[], terminal: Terminal): Promise<number> {
  const [name, ...rest] = argv
  try {
    if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
      if (name !== undefined) terminal.print(help)
      else terminal.error(help)
      return name === undefined ? exitCodes.usage : exitCodes.ok
    }
    if (name === '--version' || name === '-v') {
      terminal.print(version())
      return exitCodes.ok
    }
    const command = Object.hasOwn(commands, name) ? await commands[name]?.load() : undefined
    if (command === undefined) throw new UsageError(unknown(name))
    if (rest.includes('--help') || rest.includes('-h')) {
      terminal.print(`${command.help}\n\n${exitCodesHelp}`)
      return exitCodes.ok
    }
    return await command.run(rest, terminal)
  } catch (error) {
    const { line, exitCode } = explain(error)
    terminal.error(line)
    return exitCode
  }
}

function unknown(name: string): string {
  const meant = nearest(name, Object.keys(commands))
  const hint = meant === undefined ? 'see hutch --help' : `did you mean hutch ${meant}?`
  return `there is no command ${plain(name)}; ${hint}`
}

function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
