/** What a profile leaves to its users on a cluster, as KubeSpawner's profile_options: images, GPUs, nodes … Pure. */
import { z } from 'zod'
import { duration } from '../../config/units.ts'
import type { Chosen, LaunchOption } from '../spawner.ts'
import { object } from './claim.ts'
import { merge } from './merge.ts'

const value = z.strictObject({
  value: z
    .string()
    .regex(/^[A-Za-z0-9][-A-Za-z0-9_.]{0,62}$/, 'must be a word of letters, digits, -, _ and .')
    .describe('What launches and links name it by.'),
  title: z.string().optional().describe('Absent: the value.'),
  image: z.string().min(1).max(512).optional().describe('In place of the profile’s.'),
  gpus: z.int().min(0).max(1_000).optional().describe('In place of the flavour’s.'),
  time: duration.optional().describe('In place of the flavour’s walltime.'),
  with: object
    .default({})
    .describe(
      'Fields of this section, such as nodeSelector: objects are merged by key, lists of named things by name.',
    ),
})

const choice = z.strictObject({
  title: z.string().describe('What the launch page calls it.'),
  values: z.array(value).min(1).max(50).describe('What can be chosen, the default first.'),
})

export const choicesSchema = z
  .record(z.string().regex(/^[a-z][A-Za-z0-9]{0,29}$/, 'must be a word such as image or gpuKind'), choice)
  .refine((choices) => Object.keys(choices).length <= 20, 'must be at most 20')
  .default({})
  .describe('What users may choose on the launch page beside the flavour, by its name.')

type Choices = z.output<typeof choicesSchema>

export function optionsOf({ choices }: { choices: Choices }): readonly LaunchOption[] {
  return Object.entries(choices).map(([name, { title, values }]) => ({
    name,
    title,
    values: values.map((each) => ({ value: each.value, title: each.title ?? each.value })),
  }))
}

/** Every value's fields merged over the profile, in the order of the choices: what `read` makes of that must be one. */
export function withChosen<Profile extends { choices: Choices }>(
  profile: Profile,
  chosen: Readonly<Record<string, string>>,
  read: (merged: unknown) => Profile,
): Chosen<Profile> {
  const picked = Object.entries(profile.choices).flatMap(
    ([name, { values }]) => values.find((each) => each.value === chosen[name]) ?? [],
  )
  // What was chosen is in it; what could have been is not read twice.
  const { choices: _, ...own } = profile
  const merged = picked.reduce<unknown>((whole, each) => merge(whole, each.with), own)
  const last = <T>(of: (each: (typeof picked)[number]) => T | undefined): T | undefined =>
    picked.map(of).findLast((each) => each !== undefined)
  const [image, gpus, walltimeMs] = [last((each) => each.image), last((each) => each.gpus), last((each) => each.time)]
  return {
    profile: read(merged),
    ...(image !== undefined && { image }),
    ...(gpus !== undefined && { gpus }),
    ...(walltimeMs !== undefined && { walltimeMs }),
  }
}
