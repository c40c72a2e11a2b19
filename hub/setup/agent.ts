/** The agent for environments of this machine: bundled once for each version of its source, kept in the state folder. */
import { createHash } from 'node:crypto'
import { glob, mkdir, mkdtemp, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { nodeFlags } from '../../images/agent/node-flags.ts'
import type { SpawnerContext } from '../../spawners/spawner.ts'
import { lastLine, runProgram } from './program.ts'

const source = fileURLToPath(new URL('../../images/agent/', import.meta.url))
const bundleTimeoutMs = 60_000

/** Environments that run keep the version that they were started with. */
export async function prepareAgent(stateFolder: string): Promise<SpawnerContext['agent']> {
  const folders = join(stateFolder, 'agent')
  await mkdir(folders, { recursive: true, mode: 0o755 })
  const folder = join(folders, await sourceDigest())
  const isThere = await stat(folder).then(
    () => true,
    () => false,
  )
  if (!isThere) await bundleInto(folder)
  return { argv: [process.execPath, ...nodeFlags, join(folder, 'agent.cjs')], folder }
}

/** Whole or not at all; of two at once the first wins, and both are the same. */
async function bundleInto(folder: string): Promise<void> {
  const draft = await mkdtemp(`${folder}.`)
  try {
    const bundler = join(source, 'bundle-process.ts')
    const ended = await runProgram([process.execPath, bundler, draft], { timeoutMs: bundleTimeoutMs })
    if (ended.exitCode !== 0) throw new Error(`the agent could not be bundled: ${lastLine(ended)}`)
    await rename(draft, folder)
  } catch (error) {
    await rm(draft, { recursive: true, force: true })
    if ((error as NodeJS.ErrnoException).code !== 'ENOTEMPTY') throw error
  }
}

async function sourceDigest(): Promise<string> {
  const names: string[] = []
  for await (const name of glob('**/*.{ts,js,css,html,json}', { cwd: source })) names.push(name)
  const hash = createHash('sha256').update(process.version)
  for (const name of names.toSorted()) hash.update(name).update(await readFile(join(source, name)))
  return hash.digest('hex').slice(0, 16)
}
