/** The catalogue's YAML text → proposals with their members, or every mistake in it at once. Pure. */
import { LineCounter, parseDocument } from 'yaml'
import { z } from 'zod'
import { fieldName, type Finding, type Mistake, type Path } from '../../config/mistake.ts'
import { nearest } from '../../config/nearest.ts'
import { findings } from '../../config/words.ts'
import { datasetIdPattern } from '../domain/dataset-id.ts'
import { proposalIdPattern } from '../domain/proposal-id.ts'
import type { Dataset, Proposal } from '../domain/services.ts'
import { isPlainPath } from '../launch/paths.ts'

export interface CatalogueEntry {
  readonly proposal: Proposal
  /** User names, those of groups included, each once. */
  readonly members: readonly string[]
  readonly datasets: readonly Dataset[]
}

export type CatalogueDocument =
  | Readonly<{ is: 'read'; entries: readonly CatalogueEntry[] }>
  | Readonly<{ is: 'wrong'; mistakes: readonly Mistake[] }>

const mostProposals = 100_000
/** One membership is one person in one proposal; groups count as often as they are used. */
const mostMemberships = 2_000_000
const mostMistakes = 100
/** A list of members may be written once (&team) and meant in many proposals (*team); nested ones multiply. */
const mostAliases = 1_000_000

/** `file` only names the text in mistakes. Never throws on any text. */
export function readCatalogue(text: string, file: string): CatalogueDocument {
  const lines = new LineCounter()
  try {
    // 'failsafe': all is text, so 0042 stays 0042 and `no` stays no. prettyErrors would print lines of the file.
    const document = parseDocument(text, {
      schema: 'failsafe',
      lineCounter: lines,
      prettyErrors: false,
      logLevel: 'silent',
    })
    const [broken] = document.errors
    if (broken !== undefined) {
      const { line, col } = lines.linePos(broken.pos[0])
      const message = `is not YAML (${broken.code.toLowerCase().replaceAll('_', ' ')})`
      return { is: 'wrong', mistakes: [{ file, line, column: col, field: '', message }] }
    }
    const found = check(document.toJS({ maxAliasCount: mostAliases }))
    if ('entries' in found) return { is: 'read', entries: found.entries }
    const mistakes = found.mistakes.slice(0, mostMistakes).map(({ path, message }) => {
      const { line, col } = lines.linePos(offsetOf(document, path))
      return { file, line, column: col, field: fieldName(path), message }
    })
    return { is: 'wrong', mistakes }
  } catch (error) {
    // The parser recurses, and counts aliases: both end in an exception of its own.
    const message = error instanceof RangeError ? 'is nested too deeply' : 'repeats too much through aliases (*name)'
    return { is: 'wrong', mistakes: [{ file, field: '', message }] }
  }
}

const line = (longest: number) =>
  z
    .string()
    .min(1)
    .max(longest)
    .refine((text) => !/[\p{Cc}\p{Cs}\u202A-\u202E\u2066-\u2069]/u.test(text), 'must be printable text on one line')

const userName = z.string().regex(/^[a-z][a-z0-9._-]{0,63}$/, "is not a user's name in the hub")
const userNames = z.array(userName).max(10_000).default([])

/** Years with four digits that a calendar page can show; the day alone is midnight UTC. */
const date = z
  .string()
  .refine(
    (text) =>
      /^(19|20|21)\d\d-/.test(text) &&
      z.union([z.iso.date(), z.iso.datetime({ offset: true })]).safeParse(text).success,
    'is not a date, such as 2026-03-10 or 2026-03-10T08:00:00Z',
  )
  .transform((text) => new Date(text))

const notebook = line(512).refine(
  (text) => !text.startsWith('/') && text.split('/').every((part) => !['', '.', '..'].includes(part)),
  "must be a path below the proposal's folder, such as processed/plot.ipynb",
)

const amount = z
  .string()
  .regex(/^\d{1,15}$/, 'must be a whole number')
  .transform(Number)

const dataset = z.strictObject({
  id: z.string().regex(datasetIdPattern, "must be letters, digits and ._:/@+~-, without '..', at most 255"),
  name: line(200).optional(),
  folder: z.string().refine(isPlainPath, "must be an absolute path without '..'").optional(),
  sizeBytes: amount.optional(),
  files: amount.optional(),
  technique: line(100).optional(),
  startsAt: date.optional(),
  endsAt: date.optional(),
  archived: z
    .enum(['true', 'false'])
    .transform((text) => text === 'true')
    .default(false),
})

const proposal = z.strictObject({
  id: z.string().regex(proposalIdPattern, "must be letters, digits, '.', '_' and '-', without '..', at most 64"),
  title: line(300),
  instrument: line(100),
  technique: line(100).optional(),
  startsAt: date.optional(),
  endsAt: date.optional(),
  fields: z.record(z.string().regex(/^[a-z][A-Za-z0-9_]{0,31}$/, 'is not a field name'), line(128)).default({}),
  members: userNames,
  groups: z.array(z.string()).max(100).default([]),
  origin: line(500).optional(),
  notebook: notebook.optional(),
  datasets: z.array(dataset).max(10_000).default([]),
})

const catalogueSchema = z.strictObject({
  groups: z.record(line(64), userNames).default({}),
  proposals: z.array(proposal).max(mostProposals),
})

type Written = z.output<typeof catalogueSchema>

function check(value: unknown): { entries: readonly CatalogueEntry[] } | { mistakes: readonly Finding[] } {
  const result = catalogueSchema.safeParse(value)
  // Words for thousands of wrong proposals would take minutes: the first wrong ones say enough.
  if (!result.success) return { mistakes: findings(catalogueSchema, value).slice(0, mostMistakes) }
  const mistakes = relationMistakes(result.data)
  return mistakes.length > 0
    ? { mistakes }
    : { entries: result.data.proposals.map((each) => entryOf(each, result.data)) }
}

/** What one field alone can't show. */
function relationMistakes({ proposals, groups }: Written): Finding[] {
  const found: Finding[] = []
  const seen = new Map<string, number>()
  let memberships = 0
  for (const [index, each] of proposals.entries()) {
    const path = ['proposals', index]
    const first = seen.get(each.id)
    if (first === undefined) seen.set(each.id, index)
    else found.push({ path: [...path, 'id'], message: `is also the id of proposals[${first}]; each has its own` })
    if (each.startsAt !== undefined && each.endsAt !== undefined && each.endsAt < each.startsAt) {
      found.push({ path: [...path, 'endsAt'], message: 'lies before startsAt' })
    }
    const ids = new Set<string>()
    for (const [at, { id }] of each.datasets.entries()) {
      if (ids.has(id)) found.push({ path: [...path, 'datasets', at, 'id'], message: 'is that of another dataset too' })
      ids.add(id)
    }
    memberships += each.members.length
    for (const [at, group] of each.groups.entries()) {
      if (Object.hasOwn(groups, group)) memberships += groups[group]?.length ?? 0
      else found.push({ path: [...path, 'groups', at], message: unknownGroup(group, Object.keys(groups)) })
    }
  }
  if (memberships > mostMemberships) {
    found.push({ path: ['proposals'], message: `have ${memberships} memberships in all; at most ${mostMemberships}` })
  }
  return found
}

function unknownGroup(group: string, known: readonly string[]): string {
  const meant = nearest(group, known)
  return `there is no such group; ${meant === undefined ? 'write it under groups' : `did you mean ${meant}?`}`
}

function entryOf(written: Written['proposals'][number], { groups }: Written): CatalogueEntry {
  const { members, groups: names, datasets, ...rest } = written
  return {
    proposal: rest,
    datasets: datasets.map(({ archived, ...each }) => ({
      ...each,
      proposal: rest.id,
      name: each.name ?? each.id,
      ...(archived ? { archived } : {}),
    })),
    members: [...new Set([...members, ...names.flatMap((name) => groups[name] ?? [])])],
  }
}

/** Where the field stands, or the nearest thing around it that is there. */
function offsetOf(document: ReturnType<typeof parseDocument>, path: Path): number {
  for (let depth = path.length; depth > 0; depth -= 1) {
    const node = document.getIn(path.slice(0, depth), true)
    const range: unknown = typeof node === 'object' && node !== null && 'range' in node ? node.range : undefined
    if (Array.isArray(range)) return Number(range[0])
  }
  return 0
}
