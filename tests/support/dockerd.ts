/** A Docker daemon of the test's own: its data, its socket, its containerd, and nothing of the machine's. */
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, openSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { program } from './component.ts'

const run = promisify(execFile)
const startTimeoutMs = 180_000

export interface Daemon {
  readonly socket: string
  /** The client, which `DOCKER_HOST` tells where the daemon is. */
  readonly program: string
  docker(...argv: readonly string[]): Promise<string>
  stop(): Promise<void>
}

/** `folder`: for sockets, so short. `within`: what comes before the daemon, such as nsenter. */
export async function startDaemon({
  folder,
  data,
  argv,
  within = [],
}: {
  folder: string
  data: string
  argv: readonly string[]
  within?: readonly string[]
}): Promise<Daemon> {
  await mkdir(data, { recursive: true, mode: 0o711 })
  const socket = join(folder, 'docker.sock')
  // Debian's, which is of the daemon's age, where the machine has another one too.
  const client = existsSync('/usr/bin/docker') ? '/usr/bin/docker' : 'docker'
  const log = openSync(join(folder, 'dockerd.log'), 'a')
  // The machine's own settings are nothing to this daemon.
  const settings = join(folder, 'daemon.json')
  await writeFile(settings, '{}')
  const options = {
    host: `unix://${socket}`,
    'data-root': data,
    'exec-root': join(folder, 'x'),
    pidfile: join(folder, 'dockerd.pid'),
    'config-file': settings,
  }
  const own = Object.entries(options).map(([name, value]) => `--${name}=${value}`)
  const [command = '', ...rest] = [...within, program('dockerd') ?? 'dockerd', ...own, ...argv]
  const daemon = spawn(command, rest, { stdio: ['ignore', log, log], detached: true })
  const docker = async (...args: readonly string[]): Promise<string> => {
    const { stdout } = await run(client, ['--host', `unix://${socket}`, ...args], {
      timeout: 600_000,
      maxBuffer: 2 ** 26,
    })
    return stdout.trim()
  }
  try {
    await untilUp(daemon, docker, join(folder, 'dockerd.log'))
  } catch (error) {
    await end(daemon)
    throw error
  }
  return { socket, program: client, docker, stop: () => end(daemon) }
}

async function untilUp(daemon: ChildProcess, docker: Daemon['docker'], log: string): Promise<void> {
  const deadline = performance.now() + startTimeoutMs
  for (;;) {
    if (await docker('version', '--format', '{{.Server.Version}}').then(Boolean, () => false)) return
    if (daemon.exitCode !== null || performance.now() > deadline) {
      throw new Error(`dockerd did not start: ${(await readFile(log, 'utf8')).slice(-3_000)}`)
    }
    await sleep(50)
  }
}

async function end(daemon: ChildProcess): Promise<void> {
  if (daemon.exitCode !== null || daemon.signalCode !== null) return
  const gone = once(daemon, 'exit')
  daemon.kill('SIGTERM')
  const timer = setTimeout(() => daemon.kill('SIGKILL'), 30_000)
  await gone
  clearTimeout(timer)
}
