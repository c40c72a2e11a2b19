/** A catalogue that another service keeps, with the service: the same for each type, for tests that run over all. */
import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { configurationSchema } from '../../config/schema.ts'
import { type CatalogueOptions, createCatalogue } from '../../hub/catalogue/index.ts'
import type { Catalogue, User } from '../../hub/domain/services.ts'
import type { Log } from '../../spawners/spawner.ts'
import { fakeIcat } from './fakeIcat.ts'
import { fakeProposalService } from './fakeProposalService.ts'
import { fakeSciCat } from './fakeSciCat.ts'
import type { FakeService } from './fakeService.ts'
import { temporaryFolder } from './temporary.ts'
import { unasked } from './unasked.ts'

export const secret = 'swordfish-0123456789'
export const user = (name: string): User => ({ id: `u-${name}`, name, title: name, admin: false })
export const all = { offset: 0, limit: 50 }

export interface Entry {
  readonly id: unknown
  readonly title?: unknown
  readonly instrument?: unknown
  readonly startsAt?: unknown
  readonly members: readonly string[]
}

export interface Subject {
  readonly catalogue: Catalogue
  readonly service: FakeService
  readonly clock: { at: number }
  /** All that was logged, as text. */
  readonly logged: string[]
  /** Groups of a name are `<name>-group`. */
  readonly add: (...entries: readonly Entry[]) => void
  readonly addDatasets: (proposal: string, ...entries: readonly DatasetEntry[]) => void
}

interface DatasetEntry {
  readonly id: unknown
  readonly name?: unknown
  readonly folder?: unknown
  readonly sizeBytes?: unknown
  readonly files?: unknown
  readonly startsAt?: unknown
  readonly archived?: boolean
}

export async function subject(
  t: ExecutionContext,
  type: string,
  more: object = {},
  options: Partial<CatalogueOptions> = {},
): Promise<Subject> {
  const folder = await temporaryFolder(t)
  const file = join(folder, 'secret')
  await writeFile(file, `${secret}\n`)
  await chmod(file, 0o600)
  const { service, written, add, addDatasets } = await services[type]!(t, file)
  const clock = { at: Date.UTC(2026, 0, 1) }
  const logged: string[] = []
  const keep = (fields: object, message?: string): void => {
    logged.push(
      JSON.stringify(fields, (_key, value) => (value instanceof Error ? whole(value) : (value as unknown))) + message,
    )
  }
  const log: Log = { debug: keep, info: keep, warn: keep, error: keep, child: () => log }
  const configuration = configurationSchema.shape.catalogue.parse({ timeout: '60s', ...written, ...more })
  const groups = (person: User) => Promise.resolve([`${person.name}-group`])
  const catalogue = await createCatalogue(configuration, {
    ...unasked,
    stateFolder: folder,
    contact: 'the user office',
    groupsOf: { account: groups, login: groups },
    fetch,
    now: () => new Date(clock.at),
    log,
    ...options,
  })
  return { catalogue, service, clock, logged, add, addDatasets }
}

export function whole(error: Error): object {
  return { message: error.message, stack: error.stack, cause: error.cause instanceof Error ? whole(error.cause) : {} }
}

type Start = (
  t: ExecutionContext,
  file: string,
) => Promise<Pick<Subject, 'service' | 'add' | 'addDatasets'> & { readonly written: object }>

export const services: Record<string, Start> = {
  async http(t, file) {
    const service = await fakeProposalService(t, secret)
    const add = (...entries: readonly Entry[]) => {
      for (const { members, ...item } of entries) service.proposals.push({ members, item })
    }
    const addDatasets: Subject['addDatasets'] = (proposal, ...entries) => {
      for (const item of entries) service.datasets.push({ proposal, item: { ...item } })
    }
    return { service, add, addDatasets, written: { type: 'http', url: service.url, tokenFile: file } }
  },
  async scicat(t, file) {
    const service = await fakeSciCat(t, { accounts: { hutch: { password: secret, groups: 'all' } } })
    const add = (...entries: readonly Entry[]) => {
      for (const { id, title, instrument, startsAt, members } of entries) {
        const [owner, ...others] = members.map((member) => `${member}-group`)
        service.proposals.push({
          proposalId: id,
          title,
          startTime: startsAt,
          ownerGroup: owner ?? 'nobody',
          accessGroups: others,
          email: 'a@example.org',
          ...(instrument === undefined ? {} : { MeasurementPeriodList: [{ instrument }] }),
        })
      }
    }
    const addDatasets: Subject['addDatasets'] = (proposal, ...entries) => {
      for (const { id, name, folder, sizeBytes, files, startsAt, archived } of entries) {
        service.datasets.push({
          pid: id,
          datasetName: name,
          proposalIds: [proposal],
          sourceFolder: folder,
          size: sizeBytes,
          numberOfFiles: files,
          creationTime: startsAt,
          ownerGroup: service.proposals.find(({ proposalId }) => proposalId === proposal)?.['ownerGroup'] ?? 'nobody',
          datasetlifecycle: { isOnCentralDisk: archived !== true },
        })
      }
    }
    return {
      service,
      add,
      addDatasets,
      written: { type: 'scicat', url: service.url, reader: { username: 'hutch', passwordFile: file } },
    }
  },
}

services['icat'] = async (t, file) => {
  const reader = { plugin: 'db', username: 'hutch' }
  const service = await fakeIcat(t, { ...reader, password: secret })
  const add = (...entries: readonly Entry[]) => {
    for (const { id, title, instrument, startsAt, members } of entries) {
      service.investigations.push({
        id: service.investigations.length + 1,
        name: id,
        visitId: 'v1',
        title,
        startDate: startsAt,
        // Somebody may be in it twice, in two roles.
        investigationUsers: [...members, ...members].map((member) => ({ user: { name: `ldap/${member}` } })),
        investigationInstruments:
          instrument === undefined
            ? []
            : [{ instrument: { name: instrument, instrumentScientists: [{ user: { name: 'ldap/grace' } }] } }],
      })
    }
  }
  const written = { type: 'icat', url: service.url, reader: { ...reader, passwordFile: file }, user: 'ldap/{user}' }
  const addDatasets: Subject['addDatasets'] = (proposal, ...entries) => {
    for (const { id, name, folder, sizeBytes, files, startsAt } of entries) {
      service.datasets.push({
        id,
        name,
        location: folder,
        startDate: startsAt,
        fileSize: sizeBytes,
        fileCount: files,
        investigation: service.investigations.find((each) => each.name === proposal),
      })
    }
  }
  return { service, add, addDatasets, written }
}

export const three: readonly Entry[] = [
  {
    id: 'p3',
    title: 'Micelles (heavy water)',
    instrument: 'LOQ',
    startsAt: '2026-03-10T08:00:00.000Z',
    members: ['ada', 'marie'],
  },
  { id: 'p2', title: 'Welded plates', instrument: 'ENGIN-X', startsAt: '2025-03-10T08:00:00.000Z', members: ['ada'] },
  { id: 'p1', title: 'Layers', instrument: 'D17', startsAt: '2024-03-10T08:00:00.000Z', members: ['marie'] },
]

export const idsOf = (items: readonly { readonly id: string }[]): string[] => items.map(({ id }) => id)
