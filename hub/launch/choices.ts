/** What a visitor chose, strictly: the last check before anything is asked or made. */
import { z } from 'zod'
import { nearest } from '../../config/nearest.ts'
import type { Choices } from '../domain/environment.ts'
import { Problem } from '../domain/problem.ts'
import { readDatasetReference } from '../domain/dataset-id.ts'
import { proposalIdPattern } from '../domain/proposal-id.ts'
import { isPlainPath, parseSource } from './paths.ts'

const mostProposals = 50
const mostDatasets = 100

/** Control characters, halves of characters, and what turns the writing direction. */
const unprintable = /[\p{Cc}\p{Cs}\u202A-\u202E\u2066-\u2069]/u

const name = z
  .string('is missing: choose one')
  .regex(/^[a-z][a-z0-9-]{0,29}$/, 'is not a name: lowercase letters, digits and hyphens, at most 30')

const proposalId = z
  .string('must be text')
  .regex(proposalIdPattern, "is not a proposal's number: letters, digits, '.', '_' and '-', at most 64")

const path = z
  .string('must be text')
  .max(1_024, 'must have at most 1024 characters')
  .refine((text) => !unprintable.test(text), 'must be printable text on one line')
  .refine((text) => !/%(2e|2f|5c|00)/i.test(text), 'must be a plain path, not an encoded one')
  .transform((text) => `/${text.replace(/^\/|\/$/g, '')}`)
  .refine(isPlainPath, "must be a plain path, without '..' and empty parts")

const dataset = z
  .string('must be text')
  .max(400, 'must have at most 400 characters')
  .refine(
    (text) => readDatasetReference(text) !== undefined,
    "is not a dataset: write its proposal's number, a slash, its id",
  )

const notebookSchema = z
  .string('must be text')
  .max(512, 'must have at most 512 characters')
  .refine((text) => !unprintable.test(text), 'must be printable text on one line')
  .refine((text) => !/%(2e|2f|5c|00)/i.test(text), 'must be a plain path, not an encoded one')
  .refine(
    (text) => text.split('/').every((part) => !['', '.', '..'].includes(part)),
    "must be a path below the proposal's folder, without '..' and empty parts",
  )

const folder = z
  .string('must be text')
  .max(1_024, 'must have at most 1024 characters')
  .refine((text) => !unprintable.test(text), 'must be printable text on one line')
  .refine((text) => parseSource(text) !== undefined, 'must be an absolute path, or server:/path')

const choicesSchema = z.strictObject({
  profile: name,
  flavour: name,
  spawner: name.optional(),
  options: z
    .record(
      z.string().regex(/^[a-z][A-Za-z0-9]{0,29}$/, 'is not a name of a choice'),
      z.string('must be text').max(64, 'must have at most 64 characters'),
    )
    .refine((options) => Object.keys(options).length <= 20, 'must be at most 20')
    .optional(),
  proposals: z
    .array(proposalId, 'must be a list of proposals')
    .max(mostProposals, `must have at most ${mostProposals} proposals`)
    .transform((ids) => [...new Set(ids)]),
  datasets: z
    .array(dataset, 'must be a list of datasets')
    .max(mostDatasets, `must have at most ${mostDatasets} datasets`)
    .transform((ids) => [...new Set(ids)])
    .optional(),
  folders: z
    .record(dataset, folder)
    .refine((folders) => Object.keys(folders).length <= mostDatasets, `must be at most ${mostDatasets}`)
    .optional(),
  notebook: notebookSchema.optional(),
  title: z
    .string('must be text')
    .max(120, 'must have at most 120 characters')
    .refine((text) => !unprintable.test(text), 'must be printable text on one line')
    .transform((text) => text.normalize('NFC').trim())
    .optional(),
  open: path.optional(),
  /** A terminal that writes nothing to the home by itself. */
  rescue: z.literal(true).optional(),
})

/** @throws Problem badRequest, whose sentence names the field at fault and what it may be. */
export function readChoices(input: unknown): Choices {
  const result = choicesSchema.safeParse(input)
  if (result.success) {
    const {
      spawner,
      options,
      title,
      open,
      notebook,
      rescue,
      datasets = [],
      folders = {},
      proposals,
      ...rest
    } = result.data
    return {
      ...rest,
      proposals: withProposalsOf(datasets, proposals),
      ...(datasets.length === 0 ? {} : { datasets }),
      ...(Object.keys(folders).length === 0 ? {} : { folders }),
      ...(notebook === undefined ? {} : { notebook }),
      ...(spawner === undefined ? {} : { spawner }),
      ...(options === undefined || Object.keys(options).length === 0 ? {} : { options }),
      ...(title === undefined || title === '' ? {} : { title }),
      ...(open === undefined ? {} : { open }),
      ...(rescue === undefined ? {} : { rescue }),
    }
  }
  const [issue] = result.error.issues
  const unknown = issue?.code === 'unrecognized_keys' ? issue.keys[0] : undefined
  if (unknown !== undefined) throw unknownField(unknown)
  const field = issue?.path.join('.') ?? ''
  const words =
    field === '' ? 'What was chosen is not understood' : `${field}: ${issue?.message ?? 'is not understood'}`
  throw new Problem('badRequest', `${words}.`, { cause: result.error, ...(field === '' ? {} : { field }) })
}

/** A dataset brings its proposal along. @throws Problem badRequest */
function withProposalsOf(datasets: readonly string[], proposals: readonly string[]): string[] {
  const theirs = datasets.flatMap((text) => readDatasetReference(text)?.proposal ?? [])
  const all = [...new Set([...proposals, ...theirs])]
  if (all.length <= mostProposals) return all
  throw new Problem('badRequest', `proposals: must have at most ${mostProposals} proposals.`, { field: 'proposals' })
}

function unknownField(field: string): Problem {
  const shown = field.length > 40 ? `${field.slice(0, 40)}…` : field
  const meant = nearest(field, Object.keys(choicesSchema.shape))
  const hint = meant === undefined ? 'Leave it out.' : `Did you mean ${meant}?`
  return new Problem('badRequest', `There is no field ${JSON.stringify(shown)} in a launch. ${hint}`, { field: shown })
}

/** An environment's name in its address, where an API client gives one. @throws Problem badRequest */
export function checkServer(server: string): void {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(server)) return
  const detail = 'A server is named with letters, digits and ._-, a letter or digit first, at most 64.'
  throw new Problem('badRequest', detail, { field: 'server_name' })
}

/** A name that is well-formed and means nothing here. `lead`: how the sentence that names the possible ones begins. */
export function unknownChoice(
  field: 'profile' | 'flavour' | 'spawner',
  value: string,
  known: readonly string[],
  lead: string,
): Problem {
  const choice = known.length === 0 ? 'nothing just now; ask your administrator' : known.slice(0, 20).join(', ')
  return new Problem('badRequest', `There is no ${field} ${value} for you here. ${lead}: ${choice}.`, { field })
}
