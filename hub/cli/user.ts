/** `hutch user block|unblock|renumber|pseudonymise NAME`. */
import { join } from 'node:path'
import { z } from 'zod'
import { createAudit, type Audit } from '../audit/index.ts'
import { pseudonymise } from '../audit/pseudonymise.ts'
import { renumber } from '../accounts/seen.ts'
import { block } from '../identity/blocking.ts'
import type { Revocation } from '../../proxy/feed.ts'
import { saveRevocation } from '../reconcile/revocations.ts'
import type { Store } from '../store/index.ts'
import { readArguments, required, UsageError } from './arguments.ts'
import type { Command } from './command.ts'
import { askControl } from './control-client.ts'
import { exitCodes } from './failure.ts'
import { createLog } from './log.ts'
import { offline } from './offline.ts'
import { loadSettings } from './settings.ts'

export const user: Command = {
  help: `Usage: hutch user block NAME --reason TEXT
       hutch user unblock NAME
       hutch user renumber NAME
       hutch user pseudonymise NAME

block: closes whatever this person has open, and lets them in no more; they read the reason. What runs goes on.
renumber: forgets the uid that a person's account had. Somebody whose account has another uid than when it was first
seen can launch nothing, because files may belong to the old one; once you have seen to them, this lets them again.
pseudonymise: makes a person's records anonymous, for good: their name, e-mail address, identities, logins and
ended environments go, and the audit trail names them by a pseudonym, which is printed. Their files are not
touched. Refused while an environment of theirs runs. Each works while the hub runs and while it does not.

Options
  --reason TEXT   what a blocked person reads, such as "Your proposal ended in May"
  --config FILE   the hub's configuration; absent: the demo
  --state DIR     the hub's state folder; absent: as the configuration says
  --help          prints this`,

  async run(argv, terminal) {
    const options = { reason: { type: 'string' }, config: { type: 'string' }, state: { type: 'string' } } as const
    const { values, positionals } = readArguments('hutch user', argv, options, { positionals: 2 })
    const [verb = '', name] = positionals
    if (!isVerb(verb)) throw new UsageError('say what to do: hutch user block, unblock, renumber or pseudonymise NAME')
    if (name === undefined) throw new UsageError('NAME is missing; see hutch user --help')
    const reason = verb === 'block' ? required('hutch user', 'reason', values.reason) : null
    const { configuration } = await loadSettings({
      ...(values.config === undefined ? {} : { file: values.config }),
      ...(values.state === undefined ? {} : { state: values.state }),
      folder: terminal.folder,
    })
    const log = createLog({ level: 'warn' }, terminal)
    const wish: Wish = { verb, name, reason }
    const answer =
      (await askHub(join(configuration.state, 'run', 'control.sock'), wish)) ??
      (await offline(configuration, log, async (store) => {
        const audit = createAudit({ store, configuration: configuration.audit, now: () => new Date(), log })
        try {
          return await alone(store, audit, wish)
        } finally {
          await audit.close()
        }
      }))
    if (answer.pseudonym !== undefined) terminal.print(answer.pseudonym)
    return exitCodes.ok
  },
}

const verbs = ['block', 'unblock', 'renumber', 'pseudonymise'] as const
type Verb = (typeof verbs)[number]

const isVerb = (text: string): text is Verb => verbs.some((verb) => verb === text)

interface Wish {
  readonly verb: Verb
  readonly name: string
  readonly reason: string | null
}

const answerSchema = z.object({ pseudonym: z.string().optional() })
type Answer = z.output<typeof answerSchema>

/** Undefined: no hub runs there. */
async function askHub(socketPath: string, { verb, name, reason }: Wish): Promise<Answer | undefined> {
  const question =
    verb === 'block' || verb === 'unblock'
      ? { path: '/control/block', content: { user: name, reason } }
      : { path: `/control/${verb}`, content: { user: name } }
  const answer = await askControl({ socketPath, method: 'POST', ...question })
  return answer === undefined ? undefined : answerSchema.parse(answer)
}

/** Without a hub there is no proxy to tell; one that is left running hears of it when the hub is back. */
async function alone(store: Store, audit: Audit, { verb, name, reason }: Wish): Promise<Answer> {
  const now = (): Date => new Date()
  const routes = { revoke: (revocation: Revocation) => saveRevocation(store, revocation) }
  switch (verb) {
    case 'block':
    case 'unblock':
      await block({ db: store.db, audit, routes, now }, name, reason, { who: 'hub' })
      return {}
    case 'renumber':
      await renumber({ db: store.db, audit }, name, { who: 'hub' })
      return {}
    case 'pseudonymise':
      return { pseudonym: await pseudonymise({ store, audit, routes, now }, name, { who: 'hub' }) }
  }
}
