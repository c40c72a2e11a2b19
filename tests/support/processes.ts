/** What runs of an environment on this machine, whoever runs it. */
import { readdir, readFile } from 'node:fs/promises'

export interface EnvironmentProcess {
  readonly pid: number
  /** argv, with zeros between. */
  readonly command: string
}

export async function processesOf(id: string): Promise<readonly EnvironmentProcess[]> {
  const found: EnvironmentProcess[] = []
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const variables = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')
    if (!variables.includes(`HUTCH_ENVIRONMENT=${id}`)) continue
    found.push({ pid: Number(pid), command: await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '') })
  }
  return found
}
