/** A registry of images on this machine, which a test's Docker reaches. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { program } from './component.ts'
import type { TestDocker } from './docker.ts'
import { until } from './until.ts'

const registryPort = 5_000

export interface Registry {
  /** What Docker has under this name goes to the registry, and Docker forgets that it had it. */
  push(image: string): Promise<void>
}

export async function startRegistry(t: ExecutionContext, docker: TestDocker): Promise<Registry> {
  const folder = await mkdtemp(join(tmpdir(), 'hutch-registry-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const address = `${docker.machine}:${registryPort}`
  const settings = {
    version: 0.1,
    log: { level: 'error' },
    storage: { filesystem: { rootdirectory: join(folder, 'data') } },
    http: { addr: address },
  }
  const file = join(folder, 'config.yml')
  await writeFile(file, JSON.stringify(settings))
  const registry = spawn(program('docker-registry') ?? 'docker-registry', ['serve', file], { stdio: 'ignore' })
  t.teardown(async () => {
    const gone = once(registry, 'exit')
    if (registry.exitCode === null) registry.kill('SIGKILL')
    else return
    await gone
  })
  await until('the registry answers', async () => (await fetch(`http://${address}/v2/`).catch(() => undefined))?.ok)
  return {
    async push(image) {
      await docker.docker('tag', image, `${address}/${image}`)
      await docker.docker('push', '--quiet', `${address}/${image}`)
      await docker.docker('image', 'rm', `${address}/${image}`)
    },
  }
}
