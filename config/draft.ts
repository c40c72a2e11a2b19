/**
 * What of a configuration could be read although other parts are wrong, so that the rules between fields
 * find their mistakes in the same run.
 */
import { z } from 'zod'
import { configurationSchema, type Configuration } from './schema.ts'

type Records = 'flavours' | 'profiles' | 'spawners'

/** Sections that are wrong are absent; of records, the entries that are wrong. */
export type Draft = Partial<Omit<Configuration, Records>> &
  Readonly<Pick<Configuration, Records>> & {
    /** The names as written, also of entries that are wrong: those exist, and are not to be called unknown. */
    readonly names: Readonly<Record<Records, readonly string[]>>
    /** What each profile takes from other parts, also where the rest of the profile is wrong. */
    readonly links: Readonly<Record<string, ProfileLinks>>
  }

interface ProfileLinks {
  readonly flavours: readonly string[]
  readonly on: Readonly<Record<string, unknown>>
}

export function readDraft(input: unknown): Draft {
  const written = section.parse(input)
  const draft: Record<string, unknown> = {}
  const names: Record<Records, readonly string[]> = { flavours: [], profiles: [], spawners: [] }
  for (const [key, schema] of Object.entries(configurationSchema.shape)) {
    if (key === 'flavours' || key === 'profiles' || key === 'spawners') {
      const entries = section.parse(written[key])
      names[key] = Object.keys(entries)
      draft[key] = readable(configurationSchema.shape[key].valueType, entries)
    } else {
      const read = schema.safeParse(written[key])
      if (read.success) draft[key] = read.data
    }
  }
  const links = Object.entries(section.parse(written['profiles'])).map(([name, entry]) => [name, linksOf(entry)])
  return {
    ...(draft as Partial<Configuration> & Pick<Configuration, Records>),
    names,
    links: Object.fromEntries(links) as Record<string, ProfileLinks>,
  }
}

const section = z.record(z.string(), z.unknown()).catch({})

function linksOf(profile: unknown): ProfileLinks {
  const { flavours, on } = section.parse(profile)
  const names = Array.isArray(flavours) ? flavours.filter((name) => typeof name === 'string') : []
  return { flavours: names, on: section.parse(on) }
}

function readable(schema: z.ZodType, entries: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const read: Record<string, unknown> = {}
  for (const [name, entry] of Object.entries(entries)) {
    const result = schema.safeParse(entry)
    if (result.success) read[name] = result.data
  }
  return read
}
