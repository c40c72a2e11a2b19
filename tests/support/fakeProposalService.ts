/** A facility's small service as config/catalogue-api.md says. */
import type { ExecutionContext } from 'ava'
import { type FakeService, fakeService } from './fakeService.ts'

export interface FakeProposalService extends FakeService {
  /** As it answers them, newest first, with those who may see each. */
  readonly datasets: Readonly<{ proposal: string; item: Readonly<Record<string, unknown>> }>[]
  readonly proposals: Readonly<{ members: readonly string[]; item: Readonly<Record<string, unknown>> }>[]
}

export async function fakeProposalService(t: ExecutionContext, token: string): Promise<FakeProposalService> {
  const proposals: FakeProposalService['proposals'] = []
  const datasets: FakeProposalService['datasets'] = []
  const service = await fakeService(t, ({ url, authorization }) => {
    if (authorization !== `Bearer ${token}`) return { status: 401, body: { error: 'who are you?' } }
    const query = url.searchParams
    const [name, instruments] = [query.get('user') ?? '', query.getAll('instrument')]
    const open = proposals.filter(
      ({ members, item }) => members.includes(name) || instruments.includes(String(item['instrument'])),
    )
    switch (url.pathname) {
      case '/hutch/proposals':
        return { body: pageOf(open, query) }
      case '/hutch/datasets': {
        const proposal = query.get('proposal')
        const isOpen = open.some(({ item }) => item['id'] === proposal)
        return { body: pageOf(isOpen ? datasets.filter((each) => each.proposal === proposal) : [], query) }
      }
      default:
        return { status: 404, body: {} }
    }
  })
  return Object.assign(service, { url: `${service.url}/hutch`, proposals, datasets })
}

function pageOf(all: readonly Readonly<{ item: Readonly<Record<string, unknown>> }>[], query: URLSearchParams) {
  const words = (query.get('search') ?? '').split(' ').filter(Boolean)
  const ids = query.getAll('id')
  const found = all
    .map(({ item }) => item)
    .filter(({ id }) => ids.length === 0 || ids.includes(String(id)))
    .filter((item) => {
      const { id, title, name, instrument, technique, startsAt, fields = {} } = item
      const text = [id, title, name, instrument, technique, startsAt, ...Object.values(fields as object)]
      return words.every((word) => text.join('\n').toLowerCase().includes(word))
    })
  const offset = Number(query.get('offset'))
  return { items: found.slice(offset, offset + Number(query.get('limit'))), total: found.length }
}
