/** What bin/hutch.js runs: the command with this process's arguments and streams. */
import { main } from './main.ts'

const lingerMs = 2_000

process.exitCode = await main(process.argv.slice(2), {
  print: (text) => void process.stdout.write(`${text}\n`),
  error: (text) => void process.stderr.write(`${text}\n`),
  isTerminal: process.stderr.isTTY,
  folder: process.cwd(),
})
// What is still open by then has nothing left to do.
setTimeout(() => process.exit(), lingerMs).unref()
