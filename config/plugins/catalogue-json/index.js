/**
 * Example of a plug-in: a catalogue from a JSON file, {"proposals": [{"id", "title", "instrument", "members", "datasets",
 * …}]}, which is read again at each question. What proposals and datasets hold is what config/catalogue-api.md says.
 */
import { readFile } from 'node:fs/promises'
import { z } from 'zod'

const optionsSchema = z.strictObject({
  path: z.string().startsWith('/', 'must be an absolute path').describe('The file.'),
})

const fileSchema = z.object({
  proposals: z.array(
    z.looseObject({
      id: z.string(),
      instrument: z.string().optional(),
      startsAt: z.string().default(''),
      members: z.array(z.string()).default([]),
      datasets: z.array(z.looseObject({ id: z.string(), startsAt: z.string().default('') })).default([]),
    }),
  ),
})

const newestFirst = (a, b) => (a.startsAt < b.startsAt ? 1 : a.startsAt > b.startsAt ? -1 : a.id < b.id ? 1 : -1)

function pageOf(all, { words, offset, limit }) {
  const text = (item) => JSON.stringify(Object.values({ ...item, members: [], datasets: [] })).toLowerCase()
  const found = all.filter((item) => words.every((word) => text(item).includes(word))).toSorted(newestFirst)
  return { items: found.slice(offset, offset + limit).map(shown), total: found.length }
}

/** Nobody else's names leave it, and a date that is not there is none. */
function shown(item) {
  const own = Object.entries(item).filter(([field, value]) => !['members', 'datasets'].includes(field) && value !== '')
  return Object.fromEntries(own)
}

export default {
  kind: 'catalogue',
  optionsSchema,
  create({ path }) {
    /** Those of this person, and of the instruments that they look after. Throws when nobody can tell. */
    async function open({ user, instruments }, signal) {
      const { proposals } = fileSchema.parse(JSON.parse(await readFile(path, { encoding: 'utf8', signal })))
      return proposals.filter(({ members, instrument }) => members.includes(user) || instruments.includes(instrument))
    }
    async function datasetsIn(who, id, signal) {
      return (await open(who, signal)).find((proposal) => proposal.id === id)?.datasets ?? []
    }
    return {
      proposals: async (who, wanted, signal) => pageOf(await open(who, signal), wanted),
      proposalsByIds: async (who, ids, signal) =>
        (await open(who, signal)).filter(({ id }) => ids.includes(id)).map(shown),
      datasets: async (who, id, wanted, signal) => pageOf(await datasetsIn(who, id, signal), wanted),
      datasetsByIds: async (who, id, ids, signal) =>
        (await datasetsIn(who, id, signal)).filter((each) => ids.includes(each.id)).map(shown),
    }
  },
}
