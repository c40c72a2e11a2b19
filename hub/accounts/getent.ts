/** The system's own name service, through getent and id: what NSS, sssd or LDAP say, without their libraries. */
import { execFile } from 'node:child_process'

const deadlineMs = 10_000
const mostOutputBytes = 1_048_576
/** getent takes many keys at once, and a command line has an end. */
const keysAtOnce = 128

/** One line of passwd(5), or undefined when nobody has this name. */
export async function passwdLine(name: string, signal: AbortSignal): Promise<string | undefined> {
  const { code, output } = await run('getent', ['passwd', '--', name], signal)
  if (code === 0) return output.split('\n')[0]
  // getent(1): 2 is "one or more supplied key could not be found"; everything else is trouble.
  if (code === 2) return undefined
  throw new Error(`getent passwd ended with ${code}`)
}

/** All groups of an account, the primary one included, as login would give them. */
export async function groupIds(name: string, signal: AbortSignal): Promise<readonly number[]> {
  const { code, output } = await run('id', ['-G', '--', name], signal)
  if (code !== 0) throw new Error(`id -G ended with ${code}`)
  return [...new Set(output.trim().split(/\s+/).map(Number))]
}

/** gid → name; gids without a name are left out. */
export async function groupNames(gids: readonly number[], signal: AbortSignal): Promise<ReadonlyMap<number, string>> {
  const names = new Map<number, string>()
  for (let start = 0; start < gids.length; start += keysAtOnce) {
    const keys = gids.slice(start, start + keysAtOnce).map(String)
    const { code, output } = await run('getent', ['group', '--', ...keys], signal)
    if (code !== 0 && code !== 2) throw new Error(`getent group ended with ${code}`)
    for (const line of output.split('\n')) {
      const [name = '', , gid = ''] = line.split(':')
      if (/^\d+$/.test(gid) && /^[^\s,:\p{Cc}]{1,64}$/u.test(name)) names.set(Number(gid), name)
    }
  }
  return names
}

async function run(
  command: string,
  args: readonly string[],
  signal: AbortSignal,
): Promise<{ code: number; output: string }> {
  const options = {
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
    maxBuffer: mostOutputBytes,
    signal: AbortSignal.any([signal, AbortSignal.timeout(deadlineMs)]),
  }
  return await new Promise((resolve, reject) => {
    execFile(command, args, options, (error, stdout) => {
      if (error === null) resolve({ code: 0, output: stdout })
      else if (typeof error.code === 'number') resolve({ code: error.code, output: stdout })
      else reject(new Error(`${command} gave no answer: ${error.message}`, { cause: error }))
    })
  })
}
