/** How a command becomes the user's: a site's one launcher before it, or SLURM's token beside it. */
import { z } from 'zod'
import type { Person } from '../cluster.ts'
import { folder } from '../config.ts'
import type { Tokens } from '../tokens.ts'
import { namesIn } from './template.ts'
import { argvOf } from './words.ts'

const launcherSchema = z.discriminatedUnion('by', [
  z.strictObject({
    by: z.literal('command').describe('A program that becomes the user and runs what follows.'),
    argv: z
      .array(z.string().min(1).max(500))
      .min(1)
      .max(20)
      .refine((argv) => argv.some((each) => each.includes('{user}')), { message: 'must have {user} in it' })
      .refine((argv) => argv.flatMap(namesIn).every((name) => name === 'user' || name === 'uid'), {
        message: 'may have {user} and {uid} in it, and nothing else in braces',
      })
      .describe(
        'Its words, with {user} and {uid}, such as [sudo, -n, /usr/local/libexec/hutch-as-user, "{user}", "{uid}"].',
      ),
  }),
  z.strictObject({
    by: z.literal('token').describe("SLURM's own: SLURM_JWT, without root and without sudo."),
    tokens: folder.describe('The unix socket of hutch-slurm-minter.'),
  }),
])

export { launcherSchema }
export type LauncherConfig = z.output<typeof launcherSchema>

interface Launched {
  readonly argv: readonly string[]
  readonly variables: Readonly<Record<string, string>>
}

export interface Launcher {
  as(person: Person, argv: readonly string[], signal: AbortSignal): Promise<Launched>
  /** It did not do: what is kept for this person may be why. */
  failed(person: Person): void
}

/** `tokens`: for a launcher by token. */
export function createLauncher(config: LauncherConfig, tokens: Tokens | undefined): Launcher {
  switch (config.by) {
    case 'command':
      return {
        async as({ user, uid }, argv) {
          return { argv: [...argvOf(config.argv, { user, uid }), ...argv], variables: {} }
        },
        failed: () => undefined,
      }
    case 'token':
      return {
        async as(person, argv, signal) {
          if (tokens === undefined) throw new Error('a bug: a launcher by token has no tokens')
          const token = await tokens.of(person, signal)
          // sbatch says its own uid, and slurmctld wants the token's: in a name space of its own it is that one.
          const become = ['unshare', '--user', `--map-user=${person.uid ?? 0}`, `--map-group=${person.uid ?? 0}`, '--']
          return { argv: [...become, ...argv], variables: { SLURM_JWT: token } }
        },
        failed: (person) => tokens?.forget(person),
      }
  }
}
