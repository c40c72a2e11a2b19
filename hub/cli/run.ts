/** What bin/hutch.js runs: the command with this process's arguments and streams. */
import type { Terminal } from './command.ts'
import { keepCompiled } from './compile-cache.ts'

const lingerMs = 2_000

const argv = process.argv.slice(2)
keepCompiled(argv.includes('--state') ? argv[argv.indexOf('--state') + 1] : '.hutch')
const { main } = await import('./main.ts')
process.exitCode = await main(argv, createTerminal())
// What is still open by then has nothing left to do.
setTimeout(() => process.exit(), lingerMs).unref()

function createTerminal(): Terminal {
  const isTerminal = process.stderr.isTTY
  const eraseLine = '\r\u001b[2K'
  let shown = false
  return {
    print: (text) => void process.stdout.write(`${text}\n`),
    error(text) {
      process.stderr.write(`${shown ? eraseLine : ''}${text}\n`)
      shown = false
    },
    progress(text) {
      process.stderr.write(isTerminal ? `${eraseLine}${text}` : `${text}\n`)
      shown = isTerminal
    },
    isTerminal,
    folder: process.cwd(),
  }
}
