/** A facility's small service as config/catalogue-api.md says. */
import type { ExecutionContext } from 'ava'
import { type FakeService, fakeService } from './fakeService.ts'

export interface FakeProposalService extends FakeService {
  /** As it answers them, newest first, with those who may see each. */
  readonly proposals: Readonly<{ members: readonly string[]; item: Readonly<Record<string, unknown>> }>[]
}

export async function fakeProposalService(t: ExecutionContext, token: string): Promise<FakeProposalService> {
  const proposals: FakeProposalService['proposals'] = []
  const service = await fakeService(t, ({ url, authorization }) => {
    if (authorization !== `Bearer ${token}`) return { status: 401, body: { error: 'who are you?' } }
    if (url.pathname !== '/hutch/proposals') return { status: 404, body: {} }
    const query = url.searchParams
    const words = (query.get('search') ?? '').split(' ').filter(Boolean)
    const ids = query.getAll('id')
    const found = proposals
      .filter(({ members }) => members.includes(query.get('user') ?? ''))
      .map(({ item }) => item)
      .filter(({ id }) => ids.length === 0 || ids.includes(String(id)))
      .filter(({ id, title, instrument, technique }) => {
        const text = [id, title, instrument, technique].join('\n').toLowerCase()
        return words.every((word) => text.includes(word))
      })
    const offset = Number(query.get('offset'))
    return { body: { items: found.slice(offset, offset + Number(query.get('limit'))), total: found.length } }
  })
  return Object.assign(service, { url: `${service.url}/hutch`, proposals })
}
