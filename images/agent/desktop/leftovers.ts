/** What XFCE's session manager leaves in a /tmp that may be everybody's when it is ended by a signal: a list of names. */
import { lstat, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const mostTries = 10
const tryEveryMs = 100
const mostFiles = 200
const mostBytes = 4_096

/** Removes this user's whose session does not run any more; this session's may still be about to end. Rejects never. */
export async function removeLeftovers(folder: string): Promise<void> {
  for (let tries = 0; tries < mostTries; tries += 1) {
    const names = await readdir(folder).catch(() => [])
    const own = names.filter((name) => /^\.xfsm-ICE-\w{6}$/.test(name)).slice(0, mostFiles)
    const isLeft = await Promise.all(own.map((name) => isKept(join(folder, name)).catch(() => false)))
    if (!isLeft.includes(true)) return
    await sleep(tryEveryMs)
  }
}

/** True: it is ours, and what it speaks of still runs. */
async function isKept(path: string): Promise<boolean> {
  const about = await lstat(path)
  if (!about.isFile() || about.uid !== process.getuid?.() || about.size > mostBytes) return false
  const [, pid] = /\.ICE-unix\/(\d+) /.exec(await readFile(path, 'utf8')) ?? []
  if (pid === undefined) return false
  if (await isAlive(pid)) return true
  await rm(path, { force: true })
  return false
}

/** What has ended and was not waited for yet has no command any more. */
async function isAlive(pid: string): Promise<boolean> {
  const command = await readFile(`/proc/${pid}/cmdline`).catch(() => undefined)
  return command !== undefined && command.length > 0
}
