/** Where a profile can run now: the first of its spawners that is well, or the one that was chosen. */
import type { ProfileConfiguration } from '../../config/schema.ts'
import { defaultApplication } from '../../images/agent/applications.ts'
import type { Health, Log, Spawner } from '../../spawners/spawner.ts'
import type { Choices } from '../domain/environment.ts'
import { Problem } from '../domain/problem.ts'
import { unknownChoice } from './choices.ts'
import type { OptionSource } from './options.ts'
import { createSpawnerHealth } from './spawner-health.ts'

export interface PlacementOptions {
  readonly spawners: ReadonlyMap<string, OptionSource & { readonly spawner: Spawner; readonly type: string }>
  /** Whether what environments on this machine need is there. A facility's other backends bring their own. */
  readonly setup: {
    readonly jupyter: () => Health
    /** What is missing for a desktop with this session, in a sentence. */
    readonly missingForDesktop: (argv: readonly string[]) => string | undefined
  }
  readonly now: () => Date
  readonly log: Log
}

export interface Placement {
  /** For each of the profile's spawners why it can't run there now; undefined: it can. Never rejects. */
  obstacles(profile: ProfileConfiguration): Promise<readonly (string | undefined)[]>
  /** @throws Problem badRequest for a spawner that the profile does not run on, backendUnreachable when none is well. */
  choose(choices: Choices, profile: ProfileConfiguration): Promise<string>
}

export function createPlacement(options: PlacementOptions): Placement {
  const { spawners, setup } = options
  const health = createSpawnerHealth(options)

  async function obstacle(profile: ProfileConfiguration, spawner: string): Promise<string | undefined> {
    const isHere = spawners.get(spawner)?.type === 'local'
    if (isHere && profile.kind === 'notebook' && profile.argv === undefined) {
      const jupyter = setup.jupyter()
      if (!jupyter.ok) return jupyter.message
    }
    if (isHere && profile.kind === 'desktop') {
      const missing = setup.missingForDesktop(profile.argv ?? defaultApplication('desktop').argv)
      if (missing !== undefined) return missing
    }
    const { ok, message } = await health.of(spawner)
    return ok ? undefined : message
  }

  return {
    obstacles: (profile) => Promise.all(Object.keys(profile.on).map((spawner) => obstacle(profile, spawner))),

    async choose(choices, profile) {
      const offered = Object.keys(profile.on)
      if (choices.spawner !== undefined && !offered.includes(choices.spawner)) {
        throw unknownChoice('spawner', choices.spawner, offered, `The profile ${choices.profile} runs on`)
      }
      const found: string[] = []
      for (const spawner of choices.spawner === undefined ? offered : [choices.spawner]) {
        const why = await obstacle(profile, spawner)
        if (why === undefined) return spawner
        found.push(why)
      }
      throw new Problem('backendUnreachable', `${found[0] ?? 'It runs nowhere.'} Try again in a minute.`, {
        field: 'spawner',
        retryAfter: 60,
      })
    },
  }
}
