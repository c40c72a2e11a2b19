/** `hutch user pseudonymise NAME`. */
import { join } from 'node:path'
import { z } from 'zod'
import { createAudit } from '../audit/index.ts'
import { pseudonymise } from '../audit/pseudonymise.ts'
import { readArguments, UsageError } from './arguments.ts'
import type { Command } from './command.ts'
import { askControl } from './control-client.ts'
import { exitCodes } from './failure.ts'
import { createLog } from './log.ts'
import { offline } from './offline.ts'
import { loadSettings } from './settings.ts'

export const user: Command = {
  help: `Usage: hutch user pseudonymise NAME

Makes a person's records anonymous, for good: their name, e-mail address, identities, logins and ended
environments go, and the audit trail names them by a pseudonym, which is printed. Their files are not touched.
Refused while an environment of theirs runs. Works while the hub runs and while it does not.

Options
  --config FILE   the hub's configuration; absent: the demo
  --state DIR     the hub's state folder; absent: as the configuration says
  --help          prints this`,

  async run(argv, terminal) {
    const options = { config: { type: 'string' }, state: { type: 'string' } } as const
    const { values, positionals } = readArguments('hutch user', argv, options, { positionals: 2 })
    const [verb, name] = positionals
    if (verb !== 'pseudonymise') throw new UsageError('say what to do: hutch user pseudonymise NAME')
    if (name === undefined) throw new UsageError('NAME is missing; see hutch user --help')
    const { configuration } = await loadSettings({
      ...(values.config === undefined ? {} : { file: values.config }),
      ...(values.state === undefined ? {} : { state: values.state }),
      folder: terminal.folder,
    })
    const log = createLog({ level: 'warn' }, terminal)
    const made =
      (await askHub(join(configuration.state, 'run', 'control.sock'), name)) ??
      (await offline(configuration, log, async (store) => {
        const now = (): Date => new Date()
        const audit = createAudit({ store, configuration: configuration.audit, now, log })
        // Nothing of theirs runs, so no proxy has anything to close.
        const routes = { revoke: () => Promise.resolve() }
        const pseudonym = await pseudonymise({ store, audit, routes, now }, name, { who: 'hub' })
        await audit.close()
        return pseudonym
      }))
    terminal.print(made)
    return exitCodes.ok
  },
}

const answerSchema = z.object({ pseudonym: z.string() })

/** Undefined: no hub runs there. */
async function askHub(socketPath: string, name: string): Promise<string | undefined> {
  const content = { user: name }
  const answer = await askControl({ socketPath, method: 'POST', path: '/control/pseudonymise', content })
  return answer === undefined ? undefined : answerSchema.parse(answer).pseudonym
}
