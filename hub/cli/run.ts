/** What bin/hutch.js runs: the command with this process's arguments and streams. */
import { enableCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'
import type { Terminal } from './command.ts'

const lingerMs = 2_000

// Halves what loading the hub takes. Beside the packages, so that only who may change those may change it; where
// that can't be written, it is done without.
enableCompileCache(fileURLToPath(new URL('../../node_modules/.cache/hutch', import.meta.url)))
const { main } = await import('./main.ts')
process.exitCode = await main(process.argv.slice(2), createTerminal())
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
