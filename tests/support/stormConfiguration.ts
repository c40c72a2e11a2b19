/** A hub on the fake backend, for very many environments: of the demo's three people, or of very many people. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Returns the file. `url`: the backend's. */
export async function stormConfiguration(
  folder: string,
  { url, perUser }: { url: string; perUser: number },
): Promise<string> {
  const file = join(folder, 'storm.json')
  const content = {
    hub: { id: 'storm' },
    login: { demo: true },
    environments: { perUser, outliveHub: true },
    flavours: { small: { title: 'Small', cpu: 1, memory: '1GiB' } },
    spawners: { fake: { type: fileURLToPath(new URL('fakeSpawner.ts', import.meta.url)), url } },
    profiles: { fake: { title: 'Fake', kind: 'terminal', flavours: ['small'], on: { fake: {} } } },
  }
  await writeFile(file, JSON.stringify(content))
  return file
}
