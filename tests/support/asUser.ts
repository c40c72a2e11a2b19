import { execFile } from 'node:child_process'
import { chmod, chown } from 'node:fs/promises'
import { promisify } from 'node:util'

/** An ordinary user of no name: what a test as root becomes where it must not be root. */
const ordinaryUid = 12_345

/** Runs it to its end as an ordinary user (as ourselves, when we are one) with `folder` as its own. */
export async function runAsUser(folder: string, argv: readonly string[], timeoutMs = 150_000): Promise<string> {
  const isRoot = process.getuid?.() === 0
  if (isRoot) {
    await chown(folder, ordinaryUid, ordinaryUid)
    await chmod(folder, 0o755)
  }
  const become = `setpriv --reuid ${ordinaryUid} --regid ${ordinaryUid} --clear-groups --`.split(' ')
  const [command = '', ...rest] = [...(isRoot ? become : []), ...argv]
  const env = { PATH: process.env['PATH'], HOME: folder }
  const options = { cwd: folder, timeout: timeoutMs, maxBuffer: 2 ** 24, env }
  return (await promisify(execFile)(command, rest, options)).stdout
}
