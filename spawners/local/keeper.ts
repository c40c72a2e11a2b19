/** The process that keeps an environment alive without the hub: keeper.sh. */
import { spawn } from 'node:child_process'
import { open, readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Keeper {
  readonly pid: number
  /** Now, and not before, the environment is started. */
  release(line: string): void
  /** Resolves when it has started. @throws when the keeper ended instead. */
  started(signal: AbortSignal): Promise<void>
  /** A keeper that was not released ends; for one that was it is nothing. */
  letGo(): void
}

/** Its own session, nothing of the hub's but a pipe to its standard input, and no variables of the hub's. */
export async function startKeeper(
  folder: string,
  options: { mode: 'sandboxed' | 'open'; cgroups: readonly string[]; command: readonly string[] },
): Promise<Keeper> {
  const groupFiles = options.cgroups.map((each) => join(each, 'cgroup.procs')).join(' ')
  const mistakes = await open(join(folder, 'mistakes'), 'a', 0o600)
  const child = spawn('/bin/sh', [script, options.mode, groupFiles, ...options.command], {
    cwd: folder,
    env: { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C' },
    stdio: ['pipe', 'ignore', mistakes.fd],
    detached: true,
  })
  let ended = false
  child.once('exit', () => (ended = true))
  try {
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve)
      child.once('error', reject)
    })
  } finally {
    await mistakes.close()
  }
  const { pid, stdin } = child
  if (pid === undefined || stdin === null) throw new Error('a bug: the keeper has no pid')
  // It may be gone before it has read everything: `started` tells.
  stdin.on('error', () => undefined)
  child.unref()
  return {
    pid,
    release(line) {
      stdin.end(`${line}\n`)
    },
    async started(signal) {
      for (;;) {
        // In this order: what it did before it ended is on disk by then.
        const hasEnded = ended
        if ((await readdir(folder)).some((name) => name === 'running' || name.startsWith('ended.'))) return
        if (hasEnded) {
          const said = (await readFile(join(folder, 'mistakes'), 'utf8')).trim().slice(0, 500)
          throw new Error(`the environment could not be started: ${said || 'the keeper ended before it began'}`)
        }
        await sleep(5, undefined, { signal })
      }
    },
    letGo() {
      stdin.end()
    },
  }
}

const script = join(import.meta.dirname, 'keeper.sh')
