/** A home that is full starts nothing: in a rescue terminal HOME is a temporary folder, with the real home beside it. */
import { mkdtempSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Rescue {
  /** In place of the environment's own. */
  readonly environment: NodeJS.ProcessEnv
  remove(): Promise<void>
}

/** Undefined: it is not wanted. @throws when there is no temporary folder either. */
export function prepareRescue(environment: NodeJS.ProcessEnv, home: string): Rescue | undefined {
  if (environment['HUTCH_RESCUE'] !== '1') return undefined
  // 0700, and by a name that nobody can guess.
  const folder = mkdtempSync(join(tmpdir(), 'hutch-home-'))
  writeFileSync(join(folder, '.profile'), profile, { mode: 0o600 })
  return {
    environment: { ...environment, HOME: folder, HUTCH_HOME: home },
    remove: () => rm(folder, { recursive: true, force: true }),
  }
}

const profile = `printf '%s\\n' "Your home is $HUTCH_HOME, where you are now. Nothing is written to it by itself:" \\
  "HOME is a temporary folder, which goes with this terminal." \\
  "What takes most of it: du -xh --max-depth=2 . | sort -h | tail"
`
