/**
 * Example of a plug-in: Kerberos tickets of accounts, had by kinit with a keytab for each account (NAME.keytab in a
 * folder that the hub alone can read). Keys are in files, never in arguments or variables.
 */
import { execFile } from 'node:child_process'
import { lstat, mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { z } from 'zod'

const path = z.string().startsWith('/', 'must be an absolute path')

const optionsSchema = z.strictObject({
  keytabs: path.describe('The folder with the keytabs, NAME.keytab each.'),
  realm: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9.-]*$/, 'must be the name of a realm'),
  lifetime: z
    .string()
    .regex(/^[1-9]\d{0,5}[smhd]$/, 'must be a duration such as 10h')
    .default('10h')
    .describe('For how long tickets are asked for.'),
  kinit: path.default('/usr/bin/kinit').describe('The program.'),
  configuration: path.optional().describe('In place of /etc/krb5.conf.'),
})

const run = promisify(execFile)
const longestAnswerMs = 20_000

export default {
  kind: 'credentials',
  optionsSchema,
  create({ keytabs, realm, lifetime, kinit, configuration }) {
    return {
      async ticketCache({ name }, signal) {
        // It becomes a file's name and a principal.
        if (!/^[a-z_][a-z0-9._-]{0,63}$/.test(name)) return undefined
        const keytab = join(keytabs, `${name}.keytab`)
        const found = await lstat(keytab).catch((error) =>
          error.code === 'ENOENT' ? undefined : Promise.reject(error),
        )
        if (found === undefined) {
          // A folder that is not there says nothing about anybody.
          await stat(keytabs)
          return undefined
        }
        if (!found.isFile() || (found.mode & 0o077) !== 0) throw new Error(`${keytab}: others can read it; chmod 600`)
        const folder = await mkdtemp(join(tmpdir(), 'hutch-tickets-'))
        try {
          const cache = join(folder, 'cache')
          const principal = `${name}@${realm}`
          await run(kinit, ['-k', '-t', keytab, '-c', `FILE:${cache}`, '-l', lifetime, principal], {
            signal,
            timeout: longestAnswerMs,
            env: { LC_ALL: 'C', ...(configuration && { KRB5_CONFIG: configuration }) },
          })
          return await readFile(cache)
        } finally {
          await rm(folder, { recursive: true, force: true })
        }
      },
    }
  },
}
