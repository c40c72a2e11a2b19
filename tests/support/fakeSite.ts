/** A hub's configuration with the fake backend: what can be launched, and where its records are. */
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { PostgresConfiguration } from './postgres.ts'

export interface FakeSite {
  readonly folder: string
  /** The fake backend. */
  readonly backend: string
  readonly database?: PostgresConfiguration
  /** Written into a file of its own. */
  readonly password?: string
  /** Further fields of the configuration. */
  readonly more?: object
}

/** Profiles: `good` runs until it is stopped, `refused` is refused by the backend, `broken` ends at once with 3. */
export async function fakeSite(site: FakeSite): Promise<readonly string[]> {
  const { folder, backend, database, password, more } = site
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const passwordFile = join(folder, 'password')
  if (password !== undefined) {
    await writeFile(passwordFile, `${password}\n`)
    await chmod(passwordFile, 0o600)
  }
  const profile = (title: string, fake: object): object => ({
    title,
    kind: 'terminal',
    flavours: ['small'],
    on: { fake },
  })
  const content = {
    hub: { id: 'site' },
    login: { demo: true },
    ...(database && { database: { ...database, ...(password !== undefined && { passwordFile }) } }),
    environments: { perUser: 20, outliveHub: true },
    flavours: { small: { title: 'Small', cpu: 1, memory: '1GiB' } },
    spawners: {
      fake: { type: fileURLToPath(new URL('fakeSpawner.ts', import.meta.url)), url: backend },
      here: { type: 'local', allowUnsandboxed: true, allowUnlimited: true },
    },
    profiles: {
      good: profile('Good', {}),
      refused: profile('Refused', { refuse: 'The queue is closed to you; ask its owner.' }),
      broken: profile('Broken', { endAfterMs: 0, exitCode: 3 }),
      terminal: { title: 'Terminal', kind: 'terminal', flavours: ['small'], on: { here: {} } },
    },
    ...more,
  }
  const file = join(folder, 'hutch.json')
  await writeFile(file, JSON.stringify(content))
  return ['--config', file]
}
