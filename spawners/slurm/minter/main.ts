/** hutch-slurm-minter: makes SLURM tokens for the hub, which never has the key. See serve.ts. */
import { createPrivateKey } from 'node:crypto'
import { chmod, readFile, rm, stat } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { minterServer } from './serve.ts'
import type { SigningKey } from './rules.ts'

const usage = `hutch-slurm-minter --key FILE --audit FILE [--socket PATH] [--also NAME]… [--never NAME]…
                   [--minimum-uid 1000] [--lifetime 600] [--rs256-kid KID]

Makes short-lived SLURM tokens for accounts of this machine, and for no account of the system.
  --key FILE         jwt_hs256.key, or with --rs256-kid a private RSA key (PEM); nobody else may read it
  --audit FILE       one line of JSON for each token that was asked for
  --socket PATH      a unix socket (0600); without it, the one that systemd hands over
  --also NAME        a service that may have a token although its uid is small: the hub's own account
  --never NAME       accounts that never get one, besides root and slurm: SlurmUser, operators
  --minimum-uid N    smaller uids belong to the system (1000)
  --lifetime N       seconds that a token is good for (600)
`
const mostLifetimeSeconds = 3_600
/** sd_listen_fds(3). */
const handedOver = 3

if (process.argv.includes('--help')) process.stdout.write(usage)
else {
  main().catch((error: unknown) => {
    process.stderr.write(`hutch-slurm-minter: ${error instanceof Error ? error.message : String(error)}\n`)
    process.exit(1)
  })
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      key: { type: 'string' },
      audit: { type: 'string' },
      socket: { type: 'string' },
      also: { type: 'string', multiple: true, default: [] },
      never: { type: 'string', multiple: true, default: [] },
      'minimum-uid': { type: 'string', default: '1000' },
      lifetime: { type: 'string', default: '600' },
      'rs256-kid': { type: 'string' },
    },
  })
  const { key, audit, socket, also, never } = values
  if (key === undefined || audit === undefined) throw new Error(`--key and --audit are needed\n${usage}`)
  const server = minterServer({
    signing: await readKey(key, values['rs256-kid']),
    rules: { minimumUid: whole(values['minimum-uid'], 1, 2 ** 31), never: ['root', 'slurm', ...never], also },
    lifetimeSeconds: whole(values.lifetime, 10, mostLifetimeSeconds),
    auditFile: audit,
    now: () => new Date(),
  })
  server.on('error', (error) => {
    process.stderr.write(`hutch-slurm-minter: ${error.message}\n`)
    process.exit(1)
  })
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => process.exit(0))
  if (socket === undefined) {
    if (process.env['LISTEN_FDS'] !== '1') throw new Error('give --socket, or start it by its systemd socket')
    server.listen({ fd: handedOver })
    return
  }
  await rm(socket, { force: true })
  process.umask(0o177)
  server.listen(socket, () => {
    void chmod(socket, 0o600).then(() => process.stdout.write('hutch-slurm-minter: listens\n'))
  })
}

async function readKey(path: string, kid: string | undefined): Promise<SigningKey> {
  const { mode } = await stat(path)
  if ((mode & 0o007) !== 0) throw new Error(`others can read ${path}, and with it be anybody in SLURM: chmod 400 it`)
  const bytes = await readFile(path)
  if (kid !== undefined) return { algorithm: 'RS256', key: createPrivateKey(bytes), kid }
  if (bytes.length < 16) throw new Error(`${path} is too short for a key`)
  return { algorithm: 'HS256', secret: bytes }
}

function whole(text: string, least: number, most: number): number {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value >= least && value <= most) return value
  throw new Error(`${text} is not a whole number from ${least} to ${most}`)
}
