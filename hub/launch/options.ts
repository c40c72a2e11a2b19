/** What a spawner leaves to the user of a profile: offered, checked, and put into the spec. Pure. */
import type { FlavourConfiguration, ProfileConfiguration } from '../../config/schema.ts'
import type { LaunchOption, SpawnerType } from '../../spawners/spawner.ts'
import type { Choices } from '../domain/environment.ts'
import type { Standing } from './offer-rules.ts'
import { Problem } from '../domain/problem.ts'

type OptionsOf = NonNullable<SpawnerType['launchOptions']>

export interface OptionSource {
  readonly launchOptions?: OptionsOf
}

/** Of all spawners of the profile; of two with the same name the first one's, with the values of both. */
export function offeredOptions(
  { on }: ProfileConfiguration,
  spawners: ReadonlyMap<string, OptionSource>,
  standing: Pick<Standing, 'options'>,
): readonly LaunchOption[] {
  const found = new Map<string, LaunchOption>()
  for (const [spawner, part] of Object.entries(on)) {
    for (const option of standing.options(spawners.get(spawner)?.launchOptions?.of(part) ?? [])) {
      const known = found.get(option.name)
      const values = [...(known?.values ?? []), ...option.values]
      const unique = values.filter(({ value }, index) => values.findIndex((each) => each.value === value) === index)
      found.set(option.name, { ...option, ...known, values: unique })
    }
  }
  return [...found.values()]
}

/**
 * The spawner's part of the spec and the flavour, with what was chosen; what was not is the option's first value.
 * @throws Problem badRequest, naming the option and its values.
 */
export function withOptions(
  source: OptionSource | undefined,
  part: unknown,
  flavour: FlavourConfiguration,
  { options = {} }: Choices,
  standing: Pick<Standing, 'options'>,
): { own: unknown; flavour: FlavourConfiguration; image?: string } {
  const offered = source?.launchOptions
  const chosen: Record<string, string> = {}
  const known = standing.options(offered?.of(part) ?? [])
  for (const [name, value] of Object.entries(options)) {
    const option = known.find((each) => each.name === name)
    if (option === undefined) throw notOffered(name, known)
    if (!option.values.some((each) => each.value === value)) throw notAmong(option)
  }
  for (const { name, values } of known) chosen[name] = options[name] ?? values[0]?.value ?? ''
  if (offered === undefined) return { own: part, flavour }
  const { profile, image, gpus, walltimeMs } = offered.choose(part, chosen)
  return {
    own: profile,
    ...(image === undefined ? {} : { image }),
    flavour: {
      ...flavour,
      ...(gpus === undefined ? {} : { gpus }),
      ...(walltimeMs === undefined ? {} : { walltime: walltimeMs }),
    },
  }
}

function notOffered(name: string, known: readonly LaunchOption[]): Problem {
  const names = known.map((each) => each.name).join(', ')
  const remedy = names === '' ? 'Leave it out.' : `It has: ${names}.`
  return new Problem('badRequest', `This profile has no choice called ${name} there. ${remedy}`, { field: name })
}

function notAmong({ name, title, values }: LaunchOption): Problem {
  const possible = values.map(({ value }) => value || 'none').join(', ')
  return new Problem('badRequest', `${title}: choose one of ${possible}.`, { field: name })
}
