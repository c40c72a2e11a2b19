/** `hutch start`: progress, then a URL and how to log in; until a signal ends it. */
import { setTimeout as sleep } from 'node:timers/promises'
import { mistakeLine } from '../../config/mistake.ts'
import type { Configuration } from '../../config/schema.ts'
import { garbageCollector } from '../../proxy/tidy.ts'
import type { Hub } from '../main.ts'
import { unreachableProviders } from '../setup/provider-check.ts'
import { readArguments } from './arguments.ts'
import type { Command, Terminal } from './command.ts'
import { keepCompiledIn, saveCompiled } from './compile-cache.ts'
import { exitCodes, explain } from './failure.ts'
import { createLog } from './log.ts'
import { loadSettings } from './settings.ts'
import { listenForSignals } from './signals.ts'

const settledMs = 3_000

export const start: Command = {
  help: `Usage: hutch start [--config FILE] [--state DIR] [--listen ADDRESS:PORT]

Starts the hub and its proxy, says where it is, and runs until Ctrl-C or SIGTERM. Without a configuration
it is a demo for this machine alone, with three people and three proposals.

Options
  --config FILE           YAML or JSON; hutch reference tells what can be in it
  --state DIR             the one folder that holds all state; absent: as the configuration says,
                          .hutch in the working directory without one
  --listen ADDRESS:PORT   where browsers reach it; absent: as the configuration says,
                          127.0.0.1:8000 without one
  --help                  prints this

Ctrl-C ends all that it started, but environments where the configuration says that they outlive the hub
(environments.outliveHub). A second Ctrl-C ends it at once; a killed hub's environments are found again.`,

  async run(argv, terminal) {
    const { values } = readArguments('hutch start', argv, {
      config: { type: 'string' },
      state: { type: 'string' },
      listen: { type: 'string' },
    })
    const { configuration, warnings } = await loadSettings({
      ...(values.config === undefined ? {} : { file: values.config }),
      ...(values.state === undefined ? {} : { state: values.state }),
      ...(values.listen === undefined ? {} : { listen: values.listen }),
      folder: terminal.folder,
    })
    for (const warning of warnings) terminal.error(`warning: ${mistakeLine(warning)}`)
    if (process.geteuid?.() === 0) terminal.error(rootMeans(configuration.accounts.source))
    const log = createLog(configuration.log, terminal)
    const signals = listenForSignals()
    try {
      keepCompiledIn(configuration.state)
      const { startHub } = await import('../main.ts')
      const hub = await startHub({
        configuration,
        log,
        say: (line) => say(terminal, line),
        env: process.env,
        signal: signals.first,
      })
      if (!signals.first.aborted) welcome(hub, terminal)
      // Reading the program left garbage that a hub at rest would keep for hours.
      const tidy = garbageCollector()
      setTimeout(() => {
        saveCompiled()
        tidy()
      }, settledMs).unref()
      const asking = unreachableProviders(configuration.login, { fetch, signal: signals.first })
      for (const line of await asking) log.warn({}, line)
      await aborted(signals.first)
      terminal.error('stopping …')
      await hub.close()
      return exitCodes.ok
    } catch (error) {
      if (signals.first.aborted && isInterruption(error)) return exitCodes.ok
      const { exitCode } = explain(error)
      if (exitCode === exitCodes.failure) log.error({ err: error }, 'the hub did not start')
      throw error
    } finally {
      signals.close()
    }
  },
}

/** One line on what runs as whom. */
function rootMeans(source: Configuration['accounts']['source']): string {
  switch (source) {
    case 'self':
      return 'warning: as root nothing can be launched with accounts.source: self; start it as another user'
    case 'demo':
      return 'as root: each person gets an account of their own, sandboxed with bubblewrap'
    case 'system':
    case 'file':
    case 'ldap':
    case 'claims':
    case 'plugin':
      return `as root: environments run as the accounts that accounts.source: ${source} names, sandboxed with bubblewrap`
  }
}

/** Progress gives its line to the next. */
function say(terminal: Terminal, line: string): void {
  if (/^ *\d+ %/.test(line)) terminal.progress(line)
  else terminal.error(line)
}

function welcome({ url, people }: Hub, terminal: Terminal): void {
  const lines = ['', `Hutch is at ${url}`]
  if (people.length > 0) {
    const width = Math.max(...people.map(({ name }) => name.length))
    lines.push('', 'This is a demo. Log in as one of')
    for (const { name, password } of people) lines.push(`  ${name.padEnd(width)}  ${password}`)
  }
  lines.push('', 'Ctrl-C ends it.', '')
  terminal.error(lines.join('\n'))
}

async function aborted(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) await sleep(2 ** 30, undefined, { signal }).catch(() => undefined)
}

function isInterruption(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError'
}
