/**
 * A hub that is killed: `node localCrash.ts STEP`, the task as JSON on standard input. Makes one call of the local
 * spawner and kills itself with SIGKILL just before its STEP-th effect on the world: what makes, writes, renames,
 * links or deletes a file, starts or signals a process, or tells one something. Prints "done" when it came through.
 */
import childProcess from 'node:child_process'
import { readFileSync, writeSync } from 'node:fs'
import fs from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { fileURLToPath } from 'node:url'
import type { LocalConfig, LocalProfile } from '../../spawners/local/config.ts'
import { createLocal } from '../../spawners/local/create.ts'
import { exploreMachine } from '../../spawners/local/machine.ts'
import type { EnvironmentSpec, SpawnerContext } from '../../spawners/spawner.ts'
import { spawnerContext } from './spawnerSubject.ts'

export interface CrashTask {
  readonly call: 'ensure' | 'remove'
  readonly spec: EnvironmentSpec<LocalProfile>
  readonly config: LocalConfig
  readonly stateFolder: string
  readonly agent: SpawnerContext['agent']
}

if (process.argv[1] === fileURLToPath(import.meta.url)) void main(Number(process.argv[2]))

async function main(crashAt: number): Promise<void> {
  const { call, spec, config, stateFolder, agent }: CrashTask = JSON.parse(readFileSync(0, 'utf8'))
  const machine = await exploreMachine()
  countEffects(crashAt)
  const spawner = await createLocal(config, spawnerContext({ hub: spec.hub, stateFolder, agent }), machine)
  const signal = AbortSignal.timeout(60_000)
  if (call === 'ensure') await spawner.ensure(spec, signal)
  else await spawner.remove(spec.id, signal)
  await spawner.close?.()
  writeSync(1, 'done\n')
  process.exit(0)
}

function countEffects(crashAt: number): void {
  let steps = 0
  const kill = process.kill.bind(process)
  const die = () => kill(process.pid, 'SIGKILL')
  const step = () => {
    if ((steps += 1) === crashAt) die()
  }
  for (const name of ['mkdir', 'writeFile', 'rename', 'link', 'rm', 'rmdir', 'symlink'] as const) before(fs, name, step)
  before(process, 'kill', step)
  const open = fs.open.bind(fs)
  fs.open = async (...args) => {
    if (args[1] !== 'r') step()
    const file = await open(...args)
    if (args[1] !== 'r') for (const name of ['writeFile', 'sync'] as const) before(file, name, step)
    return file
  }
  const spawn = childProcess.spawn
  before(childProcess, 'spawn', step)
  const counted = childProcess.spawn
  Object.assign(childProcess, {
    spawn: (...args: Parameters<typeof spawn>) => {
      const child = counted(...args)
      const end = child.stdin?.end.bind(child.stdin)
      // Before a word, after half of what it is told, and after all of it.
      Object.assign(child.stdin ?? {}, {
        end(text?: string) {
          if (text === undefined) return end?.()
          step()
          if (steps + 1 === crashAt) child.stdin?.write(text.slice(0, text.length / 2))
          step()
          end?.(text)
          return step()
        },
      })
      return child
    },
  })
  syncBuiltinESMExports()
}

/** Calls `step` before each call of this method. */
function before<Name extends string>(
  owner: Record<Name, (...args: never[]) => unknown>,
  name: Name,
  step: () => void,
): void {
  const original = owner[name].bind(owner)
  Object.assign(owner, {
    [name]: (...args: never[]) => {
      step()
      return original(...args)
    },
  })
}
