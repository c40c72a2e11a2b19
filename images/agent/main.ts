/** node images/agent/main.ts --config FILE|- : the one small process of ours inside an environment. */
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startAgent } from './agent.ts'
import { claimBootstrap } from './claim.ts'
import { readBootstrap } from './read-bootstrap.ts'

const say = (line: string): void => void process.stdout.write(`hutch-agent: ${line}\n`)

// Who reads our output may go away, and whoever started us may hang up: the environment goes on.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined)
process.on('SIGHUP', () => undefined)
// People's work hangs on this process: a mistake in one request must not end all of it.
process.on('uncaughtException', (error) => say(`unexpected: ${error.stack ?? error.message}`))

void main().then((code) => process.exit(code))

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { config: { type: 'string' }, claim: { type: 'string' } } })
  const { config, claim } = values
  if ((config === undefined) === (claim === undefined)) {
    say('usage: --config FILE or --claim FILE, where - is standard input')
    return 2
  }
  // Where no shell comes before: a container's umask is the runtime's, and closes files to the members of a proposal.
  const umask = process.env['HUTCH_UMASK'] ?? ''
  if (/^0[0-7]{3}$/.test(umask)) process.umask(Number.parseInt(umask, 8))
  try {
    const bootstrap =
      claim === undefined ? await readBootstrap(config ?? '-') : await claimBootstrap({ source: claim, say })
    const agent = startAgent({
      bootstrap,
      environment: process.env,
      out: process.stdout,
      now: () => new Date(),
      locateAsset,
      jupyterFolder: join(import.meta.dirname, 'assets', 'jupyter'),
    })
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => agent.stop())
    return await agent.done
  } catch (error) {
    say((error as Error).message)
    return 1
  }
}

/** Beside the bundled agent; in a checkout, in assets/ or in its package. */
function locateAsset(name: string): string {
  const packages: Readonly<Record<string, string>> = {
    'xterm.js': '@xterm/xterm/lib/xterm.js',
    'xterm.css': '@xterm/xterm/css/xterm.css',
    'addon-fit.js': '@xterm/addon-fit/lib/addon-fit.js',
  }
  const beside = join(import.meta.dirname, 'assets', name)
  if (existsSync(`${beside}.gz`)) return `${beside}.gz`
  const path = packages[name]
  return path === undefined ? beside : createRequire(import.meta.url).resolve(path)
}
