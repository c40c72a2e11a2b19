/** A catalogue from a plug-in: its rows are read as those of any foreign one, and its failures decide nothing. */
import { z } from 'zod'
import { unreachable } from '../catalogue/ask.ts'
import { readDatasetRows, type DatasetRow } from '../catalogue/dataset-rows.ts'
import type { Seer, Source } from '../catalogue/remote.ts'
import { readRows, type Row } from '../catalogue/rows.ts'
import { answerOf } from './answer.ts'
import type { CatalogueAsker, CataloguePlugin } from './plugin.ts'

const rowsSchema = z.array(z.unknown()).max(10_000)
const pageSchema = z.object({ items: rowsSchema, total: z.int().min(0) })
const idsAtOnce = 50

/** `deadlineMs`: for each question. */
export function pluginCatalogue(plugin: CataloguePlugin, { deadlineMs }: { deadlineMs: number }): Source {
  async function asked<T>(
    what: string,
    schema: z.ZodType<T>,
    callers: AbortSignal,
    ask: (signal: AbortSignal) => Promise<unknown>,
  ): Promise<T> {
    const signal = AbortSignal.any([callers, AbortSignal.timeout(deadlineMs)])
    const answer = await answerOf(called(ask, signal), signal).catch((error: unknown) => {
      throw unreachable(`the plug-in, ${what}: ${error instanceof Error ? error.message.slice(0, 300) : 'it failed'}`)
    })
    const read = schema.safeParse(answer)
    if (!read.success) throw unreachable(`the plug-in, ${what}: it answered something else`)
    return read.data
  }

  async function inTurns(ids: readonly string[], ask: (some: readonly string[]) => Promise<unknown[]>) {
    const rows: unknown[] = []
    for (let first = 0; first < ids.length; first += idsAtOnce) {
      rows.push(...(await ask(ids.slice(first, first + idsAtOnce))))
    }
    return rows
  }

  return {
    async page(seer, wanted, signal) {
      const { items, total } = await asked('proposals', pageSchema, signal, (each) =>
        plugin.proposals(askerOf(seer), wanted, each),
      )
      return { ...readRows(items.slice(0, wanted.limit).map(proposalRow)), total }
    },
    async byIds(seer, ids, signal) {
      const rows = await inTurns(ids, (some) =>
        asked('proposalsByIds', rowsSchema, signal, (each) => plugin.proposalsByIds(askerOf(seer), some, each)),
      )
      return readRows(rows.map(proposalRow))
    },
    async datasets(seer, proposal, wanted, signal) {
      const none = { items: [], total: 0 }
      const { items, total } = await asked('datasets', pageSchema, signal, async (each) =>
        plugin.datasets === undefined ? none : await plugin.datasets(askerOf(seer), proposal, wanted, each),
      )
      return { ...readDatasetRows(proposal, items.slice(0, wanted.limit).map(datasetRow)), total }
    },
    async datasetsByIds(seer, proposal, ids, signal) {
      const rows = await inTurns(ids, (some) =>
        asked('datasetsByIds', rowsSchema, signal, async (each) =>
          plugin.datasetsByIds === undefined ? [] : await plugin.datasetsByIds(askerOf(seer), proposal, some, each),
        ),
      )
      return readDatasetRows(proposal, rows.map(datasetRow))
    },
  }
}

function askerOf({ user, instruments }: Seer): CatalogueAsker {
  return { user: user.name, instruments }
}

/** One that throws before it promises has failed as well. */
async function called(ask: (signal: AbortSignal) => Promise<unknown>, signal: AbortSignal): Promise<unknown> {
  return await ask(signal)
}

function proposalRow(item: unknown): Row {
  return { id: undefined, title: undefined, ...objectOf(item) }
}

function datasetRow(item: unknown): DatasetRow {
  return { id: undefined, name: undefined, ...objectOf(item) }
}

function objectOf(item: unknown): object {
  return typeof item === 'object' && item !== null ? item : {}
}
