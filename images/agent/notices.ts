/** What the hub says about an environment's time, kept for the pages inside: what ends it, why, and who to ask. */
import { readHubWord, type HubWord } from './hub-word.ts'

/** What a page inside is told. Times are from now on. */
export interface Notices {
  readonly ends?: HubWord['ends']
  /** Of the login that this page was opened with. */
  readonly login?: Readonly<{ inMs: number }>
  /** Whether whoever asks may keep it running; absent: yes. */
  readonly canStay?: boolean
  readonly timeUrl?: string
  readonly renewUrl?: string
  readonly warnMs: number
  readonly loginWarnMs: number
}

export interface NoticeKeeper {
  /** The body of the hub's answer; what is no word of this version counts for nothing. */
  heard(text: string): void
  /** `loginEndsAt`: as the proxy says, ms since the epoch. */
  now(loginEndsAt: number | undefined): Notices
}

const usualWarnMs = 600_000

export function createNoticeKeeper({
  now,
  nowMs = () => performance.now(),
}: {
  now: () => Date
  nowMs?: () => number
}): NoticeKeeper {
  let last: { word: HubWord; atMs: number } | undefined

  return {
    heard(text) {
      const word = readHubWord(text)
      if (word !== undefined) last = { word, atMs: nowMs() }
    },
    now(loginEndsAt) {
      const login = loginEndsAt === undefined ? {} : { login: { inMs: loginEndsAt - now().getTime() } }
      if (last === undefined) return { ...login, warnMs: usualWarnMs, loginWarnMs: usualWarnMs }
      const { ends, timeUrl, renewUrl, warnMs, loginWarnMs } = last.word
      const passedMs = nowMs() - last.atMs
      const told = ends === undefined ? {} : { ends: { ...ends, inMs: ends.inMs - passedMs } }
      return { ...told, ...login, timeUrl, renewUrl, warnMs, loginWarnMs }
    },
  }
}
