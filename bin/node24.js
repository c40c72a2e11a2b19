/**
 * Plain JavaScript for any Node from 20 on: finds Node 24 and runs a TypeScript entry with it.
 * In a checkout that is the .ts file itself; an installed package carries .js beside it (Node strips no types
 * below node_modules).
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { constants } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { findProgram } from './program.js'

const needed = 24

/** `entry` is the URL of a .ts file; `program` names what it is bundled as, for what runs long. */
export async function run(entry, program) {
  const file = findEntry(entry)
  const isHere = major(process.versions.node) >= needed
  const node = isHere ? process.execPath : findNode()
  const best = (program && findProgram(program, node)) ?? file
  if (isHere) await runHere(best)
  else runThere(best, node)
}

/** JavaScript is preferred: where it is, the TypeScript can't be run or is the same. */
function findEntry(entry) {
  const path = fileURLToPath(entry)
  const found = [path.replace(/\.ts$/, '.js'), path].find((file) => existsSync(file))
  return found ?? fail(`this installation of Hutch is incomplete (${basename(path)} is missing); install it again`)
}

async function runHere(file) {
  // node:sqlite is declared experimental: nobody who starts a hub needs to be told.
  process.removeAllListeners('warning')
  process.on('warning', (warning) => {
    if (warning.name !== 'ExperimentalWarning') process.stderr.write(`${warning.name}: ${warning.message}\n`)
  })
  await import(pathToFileURL(file).href)
}

function runThere(file, node) {
  const argv = ['--disable-warning=ExperimentalWarning', file, ...process.argv.slice(2)]
  const child = spawn(node, argv, { stdio: 'inherit' })
  // Ctrl-C reaches the child by the terminal too; it takes two at once for one.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT']) process.on(signal, () => child.kill(signal))
  child.on('error', (error) => fail(`${node} can't be started (${error.code ?? error.message})`))
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? 128 + (constants.signals[signal] ?? 0)
  })
}

function findNode() {
  const version = process.versions.node
  let folder
  try {
    folder = dirname(createRequire(import.meta.url).resolve('node/package.json'))
  } catch {
    return fail(`Hutch needs Node ${needed}, and this is ${version}: run npm install, which brings it`)
  }
  const binary = join(folder, 'bin', 'node')
  if (existsSync(binary)) return binary
  return fail(
    `Hutch needs Node ${needed}, and this is ${version}: npm was kept from installing it; ` +
      `run npm rebuild node --ignore-scripts=false`,
  )
}

function major(version) {
  return Number(version.split('.', 1)[0])
}

function fail(line) {
  process.stderr.write(`hutch: ${line}\n`)
  process.exit(1)
}
