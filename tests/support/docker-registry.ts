/** A registry of images on this machine, which a test's Docker reaches. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { program } from './component.ts'
import type { TestDocker } from './docker.ts'
import { until } from './until.ts'

const registryPort = 5_000

export interface Registry {
  /** Before the names of its images. */
  readonly address: string
  /** What Docker has under this name goes to the registry, and Docker forgets that it had it. */
  push(image: string): Promise<void>
}

/** bcrypt of the password, as the registry wants it. */
export const registryAccount = { username: 'hutch', password: 'open sesame' }
const htpasswd = 'hutch:$2b$04$WLBvctLGcUL1zoqMVBIe2.FcVKBN5eBxlArboUrZ.jR5es6XpB/4u\n'

/** `isClosed`: who pushes and pulls must log in. */
export async function startRegistry(
  t: ExecutionContext,
  docker: TestDocker,
  { isClosed = false } = {},
): Promise<Registry> {
  const folder = await mkdtemp(join(tmpdir(), 'hutch-registry-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const address = `${docker.machine}:${registryPort}`
  const settings = {
    version: 0.1,
    log: { level: 'error' },
    storage: { filesystem: { rootdirectory: join(folder, 'data') } },
    http: { addr: address },
    ...(isClosed && { auth: { htpasswd: { realm: 'tests', path: join(folder, 'htpasswd') } } }),
  }
  const file = join(folder, 'config.yml')
  await writeFile(file, JSON.stringify(settings))
  await writeFile(join(folder, 'htpasswd'), htpasswd)
  // As `docker login` leaves it.
  const client = join(folder, 'client')
  const auth = Buffer.from(`${registryAccount.username}:${registryAccount.password}`).toString('base64')
  await mkdir(client)
  await writeFile(join(client, 'config.json'), JSON.stringify({ auths: { [address]: { auth } } }))
  const registry = spawn(program('docker-registry') ?? 'docker-registry', ['serve', file], { stdio: 'ignore' })
  t.teardown(async () => {
    const gone = once(registry, 'exit')
    if (registry.exitCode === null) registry.kill('SIGKILL')
    else return
    await gone
  })
  await until(
    'the registry answers',
    async () => [200, 401].includes((await fetch(`http://${address}/v2/`).catch(() => undefined))?.status ?? 0),
    {
      timeoutMs: 60_000,
    },
  )
  return {
    address,
    async push(image) {
      await docker.docker('tag', image, `${address}/${image}`)
      await docker.docker('--config', client, 'push', '--quiet', `${address}/${image}`)
      await docker.docker('image', 'rm', `${address}/${image}`)
    },
  }
}
