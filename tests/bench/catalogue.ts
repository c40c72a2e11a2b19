/**
 * Pages with 10,000 proposals of one person, a real hub and its proxy between: home, the launch page, a search, the API,
 * and a proposal's 10,000 datasets. Goal: under 100 ms each.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runHutch } from '../support/hutch.ts'
import { logInAs } from '../support/scientist.ts'
import { median, quantile, row } from './figures.ts'

const count = 10_000
const rounds = 60

const pages: readonly (readonly [title: string, path: string, shown: string])[] = [
  ['home', '/hub/home', 'p9999'],
  ['home, the last page', `/hub/home?offset=${count - 10}`, '>p0<'],
  ['home, searched', '/hub/home?search=titanium+2026-03', 'part 9'],
  ['launch', '/hub/launch?proposals=p42', 'value="p42" checked'],
  ['a page of the API', '/hub/api/v1/proposals?limit=100&offset=5000', '"p4999"'],
  ['a proposal and its datasets', '/hub/proposals/p42', '1–20 of 10000'],
  ['datasets, searched', '/hub/proposals/p42?find=scan+99', 'scan 99'],
]

export async function benchCatalogue(folder: string): Promise<void> {
  const site = join(folder, 'catalogue')
  const file = `${site}.json`
  await writeFile(`${site}.yaml`, JSON.stringify({ proposals: Array.from({ length: count }, proposal) }))
  const configuration = {
    login: { demo: true },
    catalogue: { type: 'file', path: `${site}.yaml` },
    flavours: { small: { title: 'Small', cpu: 1, memory: '1GiB' } },
    spawners: { here: { type: 'local' } },
    profiles: { terminal: { title: 'Terminal', kind: 'terminal', flavours: ['small'], on: { here: {} } } },
  }
  await writeFile(file, JSON.stringify(configuration))
  const hutch = await runHutch({ state: `${site}-state`, args: ['--config', file] })
  try {
    const ada = await logInAs(hutch.url, 'ada', (await hutch.passwords())['ada'] ?? '')
    for (const [title, path, shown] of pages) {
      const took: number[] = []
      for (let round = 0; round < rounds; round += 1) {
        const begun = performance.now()
        const { status, text } = await ada.jar.ask(hutch.url + path)
        took.push(performance.now() - begun)
        if (status !== 200 || !text.includes(shown)) throw new Error(`${path} answered ${status} without ${shown}`)
      }
      row(`${count} proposals: ${title}`, { median_ms: median(took), p95_ms: quantile(took, 0.95) })
    }
  } finally {
    await hutch.stop()
  }
}

const metals = ['titanium', 'copper', 'iron', 'nickel']

function proposal(_nothing: unknown, index: number): object {
  const begins = new Date(Date.UTC(2020, 0, 1) + index * 6 * 3_600_000)
  const made = (_one: unknown, at: number) => ({
    id: `20.500/${index}/${at}`,
    name: `scan ${at}`,
    sizeBytes: String(at * 1_000_000),
    startsAt: begins.toISOString(),
  })
  return {
    id: `p${index}`,
    title: `Stress in ${metals[index % metals.length]} plates, part ${index}`,
    instrument: `BM${index % 40}`,
    technique: 'Neutron diffraction',
    startsAt: begins.toISOString(),
    fields: { session: String(index) },
    members: ['ada', 'marie'],
    ...(index === 42 ? { datasets: Array.from({ length: count }, made) } : {}),
  }
}
