/** Fake: a facility's small service before its archive, as config/archive-api.md says. */
import type { ExecutionContext } from 'ava'
import { type FakeService, fakeService } from './fakeService.ts'

export interface FakeArchive extends FakeService {
  /** What it says of each dataset; one that is asked for becomes `restoring`. */
  readonly items: Map<string, Readonly<Record<string, unknown>>>
}

export async function fakeArchive(t: ExecutionContext, token: string): Promise<FakeArchive> {
  const items: FakeArchive['items'] = new Map()
  const service = await fakeService(t, ({ method, url, authorization, body }) => {
    if (authorization !== `Bearer ${token}`) return { status: 401, body: {} }
    if (method === 'GET') {
      return { body: { items: url.searchParams.getAll('dataset').flatMap((dataset) => items.get(dataset) ?? []) } }
    }
    const { dataset } = JSON.parse(body) as { dataset: string }
    const item = items.get(dataset) ?? { dataset, state: 'restoring', message: 'Tape 4711' }
    items.set(dataset, item)
    return { status: 202, body: item }
  })
  return Object.assign(service, { url: `${service.url}/archive`, items })
}
