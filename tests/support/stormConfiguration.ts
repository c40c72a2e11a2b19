/** A hub on the fake backend, for very many environments: of the demo's three people, or of very many people. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Returns the file. `url`: the backend's. `names`: who has an account; absent: everybody. */
export async function stormConfiguration(
  folder: string,
  { url, perUser, names }: { url: string; perUser: number; names?: readonly string[] },
): Promise<string> {
  const file = join(folder, 'storm.json')
  const content = {
    hub: { id: 'storm' },
    login: { demo: true },
    ...(names === undefined ? {} : { accounts: { source: 'file', users: accountsOf(names) } }),
    environments: { perUser, outliveHub: true },
    flavours: { small: { title: 'Small', cpu: 1, memory: '1GiB' } },
    spawners: { fake: { type: fileURLToPath(new URL('fakeSpawner.ts', import.meta.url)), url } },
    profiles: { fake: { title: 'Fake', kind: 'terminal', flavours: ['small'], on: { fake: {} } } },
  }
  await writeFile(file, JSON.stringify(content))
  return file
}

function accountsOf(names: readonly string[]): object {
  const account = (name: string, index: number): object => {
    const id = 20_000 + index
    return { uid: id, gid: id, groups: [], home: `/home/${name}`, shell: '/bin/bash' }
  }
  return Object.fromEntries(names.map((name, index) => [name, account(name, index)]))
}
