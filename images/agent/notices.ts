/** What the hub says about an environment's time, kept for the pages inside: what ends it, why, and who to ask. */
import { z } from 'zod'

/** The hub's answer to a report. A hub of an earlier release says nothing. */
const hubWordSchema = z.object({
  version: z.literal(1),
  /** The hub's pages for it: how long it lives, and a login that is renewed. */
  timeUrl: z.url({ protocol: /^https?$/ }),
  renewUrl: z.url({ protocol: /^https?$/ }),
  /** What ends it next, as far as it is known; from now, because clocks differ. */
  ends: z
    .object({
      inMs: z.number(),
      cause: z.enum(['walltime', 'limit', 'idle', 'entitlement']),
      why: z.string().max(500),
      /** Whether its owner may make its time longer. */
      canExtend: z.boolean(),
    })
    .optional(),
  /** How long before an end the pages warn: of the environment's, and of a login's. */
  warnMs: z.number(),
  loginWarnMs: z.number(),
})

export type HubWord = z.infer<typeof hubWordSchema>

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
      const read = hubWordSchema.safeParse(parse(text))
      if (read.success) last = { word: read.data, atMs: nowMs() }
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

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined // an earlier hub answers with nothing at all
  }
}
