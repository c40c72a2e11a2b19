/**
 * The local spawner in a process that the caller starts as an ordinary user:
 * `node localUserProcess.ts contract|escapes sandboxed|open FOLDER`. Prints one line of JSON for each result.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { spawnerContract } from '../../spawners/contract.ts'
import { exploreMachine, type Machine } from '../../spawners/local/machine.ts'
import { descendantsOf } from '../../spawners/local/processes.ts'
import { readLatest } from '../../spawners/local/record.ts'
import { asScript, escapes, printed, succeeded } from './localEscapes.ts'
import { localSite, localSubject } from './localSubject.ts'
import { testKey } from './spawnerSubject.ts'

export interface CaseResult {
  readonly title: string
  readonly error?: string
}

const [task, mode, folder] = process.argv.slice(2)
if (folder !== undefined) void main(task === 'contract' ? contract : tryEscapes, mode === 'open', folder)

type Task = (machine: Machine, config: object, folder: string) => Promise<readonly CaseResult[]>

async function main(task: Task, isOpen: boolean, folder: string): Promise<void> {
  const machine = await exploreMachine(isOpen ? [] : undefined)
  const results = await task(machine, isOpen ? { allowUnsandboxed: true } : {}, folder)
  for (const result of results) process.stdout.write(`${JSON.stringify(result)}\n`)
}

async function contract(machine: Machine, config: object, folder: string): Promise<readonly CaseResult[]> {
  return await Promise.all(
    spawnerContract.map(async ({ title, run }, index): Promise<CaseResult> => {
      const own = join(folder, String(index))
      await mkdir(own)
      const site = await localSite(own, machine, config)
      return await run(localSubject(site)).then(
        () => ({ title }),
        (error: unknown) => ({ title, error: error instanceof Error ? (error.stack ?? error.message) : 'it threw' }),
      )
    }),
  )
}

/** Titles of what succeeded. Here the neighbour is the same uid, so nothing but the sandbox keeps them apart. */
async function tryEscapes(machine: Machine, config: object, folder: string): Promise<readonly CaseResult[]> {
  const deadline = () => AbortSignal.timeout(30_000)
  const site = await localSite(folder, machine, config)
  const spawner = await site.open()
  await writeFile(join(site.stateFolder, '../../secret'), 'secret', { mode: 0o600 })
  const [home, proposal] = [join(folder, 'home2'), join(folder, 'proposal2')]
  for (const path of [home, proposal]) await mkdir(path)
  const neighbour = site.spec(['shell', 'touch /tmp/mine-$$ /dev/shm/mine-$$'])
  await printed(site, spawner, neighbour)
  const found = await readLatest(site.stateFolder, neighbour.id)
  const keeper = found.is === 'there' ? found.record.keeper.pid : 0
  const kept = (await descendantsOf(keeper)).map((info) => info.pid)
  const all = escapes({ ...site, home, proposal, key: testKey(neighbour.id), pids: [keeper, ...kept] })
  const spec = site.spec(['shell', asScript(all)])
  const output = await printed(site, spawner, spec)
  const phase = (await spawner.observe(deadline())).get(neighbour.id)?.observation.phase
  await site.close()
  return [
    ...succeeded(all, output).map((title) => ({ title })),
    ...(phase === 'running' ? [] : [{ title: `the neighbour is ${phase}` }]),
  ]
}
