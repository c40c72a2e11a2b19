/** The parts of a configuration that belong to spawners, each checked by the schemas of its spawner's type. */
import type { z } from 'zod'
import type { Draft } from './draft.ts'
import type { Finding } from './mistake.ts'
import { checked, firstLine } from './plugin-parts.ts'
import type { Configuration } from './schema.ts'

/** What is asked of a spawner's type here; spawners/spawner.ts has the whole. */
export interface SpawnerSchemas {
  readonly configSchema: z.ZodType
  readonly profileSchema: z.ZodType
}

export interface CheckedSpawners {
  readonly mistakes: readonly Finding[]
  /** The same configuration with each part as its schema gives it. Only without mistakes. */
  complete(configuration: Configuration): Configuration
}

export async function checkSpawners(
  draft: Draft,
  resolveSpawner: (type: string) => Promise<SpawnerSchemas>,
): Promise<CheckedSpawners> {
  const mistakes: Finding[] = []
  const schemas = new Map<string, SpawnerSchemas>()
  for (const [name, { type, capacity: _, kerberos: __, ...part }] of Object.entries(draft.spawners)) {
    const found = await resolveSpawner(type).catch((error: unknown) => firstLine(error))
    if (typeof found === 'string') mistakes.push({ path: ['spawners', name, 'type'], message: found })
    else {
      schemas.set(name, found)
      mistakes.push(...checked(found.configSchema, part, ['spawners', name]))
    }
  }
  for (const [profile, { on }] of Object.entries(draft.links)) {
    for (const [name, part] of Object.entries(on)) {
      const schema = schemas.get(name)?.profileSchema
      if (schema !== undefined) mistakes.push(...checked(schema, part ?? {}, ['profiles', profile, 'on', name]))
    }
  }
  return { mistakes, complete: (configuration) => complete(configuration, schemas) }
}

function complete(configuration: Configuration, schemas: ReadonlyMap<string, SpawnerSchemas>): Configuration {
  const spawners = Object.entries(configuration.spawners).map(([name, { type, capacity, kerberos, ...part }]) => {
    const parsed = schemas.get(name)?.configSchema.parse(part)
    const common = { type, ...(capacity && { capacity }), ...(kerberos && { kerberos }) }
    return [name, { ...(parsed as object), ...common }] as const
  })
  const profiles = Object.entries(configuration.profiles).map(([name, profile]) => {
    const on = Object.entries(profile.on).map(([spawner, part]) => [
      spawner,
      schemas.get(spawner)?.profileSchema.parse(part ?? {}),
    ])
    return [name, { ...profile, on: Object.fromEntries(on) as Record<string, unknown> }] as const
  })
  return { ...configuration, spawners: Object.fromEntries(spawners), profiles: Object.fromEntries(profiles) }
}
