/**
 * The contract suite on the local spawner, in a process that the caller starts as an ordinary user:
 * `node localUserProcess.ts sandboxed|open FOLDER`. Prints a line of JSON for each case.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { spawnerContract } from '../../spawners/contract.ts'
import { exploreMachine } from '../../spawners/local/machine.ts'
import { localSite, localSubject } from './localSubject.ts'

export interface CaseResult {
  readonly title: string
  readonly error?: string
}

const [mode, folder] = process.argv.slice(2)
if (mode !== undefined && folder !== undefined) void main(mode, folder)

async function main(mode: string, folder: string): Promise<void> {
  const machine = await exploreMachine(mode === 'open' ? [] : undefined)
  const all = spawnerContract.map(async ({ title, run }, index): Promise<CaseResult> => {
    const own = join(folder, String(index))
    await mkdir(own)
    const site = await localSite(own, machine, mode === 'open' ? { allowUnsandboxed: true } : {})
    return await run(localSubject(site)).then(
      () => ({ title }),
      (error: unknown) => ({ title, error: error instanceof Error ? (error.stack ?? error.message) : 'it threw' }),
    )
  })
  for (const result of await Promise.all(all)) process.stdout.write(`${JSON.stringify(result)}\n`)
}
