/** `hutch token`: asks the running hub through its control socket, or opens the store of one that does not run. */
import { join } from 'node:path'
import { z } from 'zod'
import { parseDuration } from '../../config/units.ts'
import { readArguments, required, UsageError } from './arguments.ts'
import type { Command } from './command.ts'
import { exitCodes } from './failure.ts'
import type { TokenRequest } from '../control.ts'
import { askControl } from './control-client.ts'
import { createLog } from './log.ts'
import { makeOfflineToken } from './offline-token.ts'
import { loadSettings } from './settings.ts'

export const token: Command = {
  help: `Usage: hutch token --user NAME --scope SCOPE [--scope SCOPE ...] --expires WHEN [--note TEXT]

Makes a token and prints it once, alone, on standard output; only its hash is kept. Scripts send it as
  Authorization: Bearer TOKEN
Works while the hub runs and while it does not.

Options
  --user NAME       whose token it is: it can do nothing that this user can't
  --scope SCOPE     what it may be used for; repeat it for more
  --expires WHEN    a length of time such as 12h or 30d, or never
  --note TEXT       what it is for; shown in lists
  --config FILE     the hub's configuration; absent: the demo
  --state DIR       the hub's state folder; absent: as the configuration says
  --help            prints this`,

  async run(argv, terminal) {
    const name = 'hutch token'
    const { values } = readArguments(name, argv, {
      user: { type: 'string' },
      scope: { type: 'string', multiple: true },
      expires: { type: 'string' },
      note: { type: 'string', default: '' },
      config: { type: 'string' },
      state: { type: 'string' },
    })
    const expiresAt = expiry(required(name, 'expires', values.expires), Date.now())
    const wish: TokenRequest = {
      user: required(name, 'user', values.user),
      scopes: required(name, 'scope', values.scope),
      ...(expiresAt === undefined ? {} : { expiresAt }),
      note: values.note,
    }
    const { configuration } = await loadSettings({
      ...(values.config === undefined ? {} : { file: values.config }),
      ...(values.state === undefined ? {} : { state: values.state }),
      folder: terminal.folder,
    })
    const made = await askHub(join(configuration.state, 'run', 'control.sock'), wish)
    terminal.print(made ?? (await makeOfflineToken(configuration, wish, createLog({ level: 'warn' }, terminal))))
    return exitCodes.ok
  },
}

/** '30d' → ms since the epoch; 'never' → undefined. Throws UsageError. */
export function expiry(text: string, now: number): number | undefined {
  if (text === 'never') return undefined
  const lengthMs = parseDuration(text)
  if (lengthMs === undefined || lengthMs === 0) throw new UsageError('--expires wants 12h, 30d or never')
  return now + lengthMs
}

/** Undefined: no hub runs there. */
async function askHub(socketPath: string, wish: TokenRequest): Promise<string | undefined> {
  const answer = await askControl({ socketPath, method: 'POST', path: '/control/token', content: wish })
  return answer === undefined ? undefined : tokenSchema.parse(answer).token
}

const tokenSchema = z.object({ token: z.string() })
