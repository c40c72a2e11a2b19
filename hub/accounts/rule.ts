/** Which accounts may run environments at all, wherever they come from. What spawners refuse too is theirs to say. */
import type { Configuration } from '../../config/schema.ts'
import { checkAccount } from '../../spawners/common/checkAccount.ts'
import type { Account } from '../../spawners/spawner.ts'
import { Problem } from '../domain/problem.ts'
import { refusingAsProblem } from '../domain/refusal.ts'

/** As useradd takes them, dots allowed inside: safe in a path, in passwd lines, in argv and in host names' labels. */
const accountName = /^[a-z_][a-z0-9_-]*(\.[a-z0-9_-]+)*$/
const longestName = 32

export interface AccountRule {
  /** uids below this belong to the system. */
  readonly minimumUid: number
  readonly source: Configuration['accounts']['source']
}

/** @throws Problem launchRefused */
export function requireSoundName(name: string): void {
  if (accountName.test(name) && name.length <= longestName) return
  throw refused(
    `The account name ${shown(name)} can't be used: it must be lowercase letters, digits, '_', '-' or single dots, a letter first, at most ${longestName}.`,
  )
}

/** @throws Problem launchRefused */
export function requireSoundAccount(account: Account, { minimumUid, source }: AccountRule): void {
  requireSoundName(account.name)
  if (account.uid === 0 && source === 'self') {
    throw refused(
      'The hub runs as root and its accounts are its own (accounts.source: self), so everybody would be root. Start it as an ordinary user, or set accounts.source to system or file.',
    )
  }
  refusingAsProblem(() => checkAccount(account, { minimumUid }))
  if (/\/(nologin|false)$/.test(account.shell)) {
    throw refused(`The account ${account.name} is closed: its shell is ${account.shell}. Ask your administrator.`)
  }
}

/** What others wrote, in a sentence: short, and without control characters. */
function shown(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text)
}

function refused(sentence: string): Problem {
  return new Problem('launchRefused', sentence)
}
