/** `hutch token`: asks the running hub through its control socket, or opens the store of one that does not run. */
import { request } from 'node:http'
import { join } from 'node:path'
import { parseDuration } from '../../config/units.ts'
import { readArguments, required, UsageError } from './arguments.ts'
import type { Command } from './command.ts'
import { exitCodes } from './failure.ts'
import type { TokenRequest } from '../control.ts'
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

const answerTimeoutMs = 10_000
const longestAnswerBytes = 65_536

/** Undefined: no hub runs there. */
async function askHub(socketPath: string, wish: TokenRequest): Promise<string | undefined> {
  const answered = await post(socketPath, '/control/token', wish).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') return undefined
    throw new Error(`the hub does not answer on its control socket (${error.code ?? error.message})`, { cause: error })
  })
  if (answered === undefined) return undefined
  const { status, body } = answered
  const answer = JSON.parse(body) as { token?: string; detail?: string }
  if (status === 201 && typeof answer.token === 'string') return answer.token
  throw new Error(answer.detail ?? `the hub refused (${status})`)
}

async function post(socketPath: string, path: string, content: object): Promise<{ status: number; body: string }> {
  return await new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' }
    const signal = AbortSignal.timeout(answerTimeoutMs)
    const asking = request({ socketPath, path, method: 'POST', headers, agent: false, signal }, (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (text: string) => {
        body += text
        if (body.length > longestAnswerBytes) response.destroy(new Error('the answer of the hub is too long'))
      })
      response.on('error', reject)
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
    })
    asking.on('error', reject)
    asking.end(JSON.stringify(content))
  })
}
