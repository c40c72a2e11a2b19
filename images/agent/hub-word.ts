/** The hub's answer to a report, read by hand: zod would cost each agent 12 MB and a fifth of its start. */

export interface HubWord {
  readonly version: 1
  /** The hub's pages for it: how long it lives, and a login that is renewed. */
  readonly timeUrl: string
  readonly renewUrl: string
  /** What ends it next, as far as it is known; from now, because clocks differ. */
  readonly ends?: Readonly<{ inMs: number; cause: Cause; why: string; canExtend: boolean }> | undefined
  /** How long before an end the pages warn: of the environment's, and of a login's. */
  readonly warnMs: number
  readonly loginWarnMs: number
}

const causes = ['walltime', 'limit', 'idle', 'entitlement'] as const
type Cause = (typeof causes)[number]
const longestWhy = 500

/** Undefined: it is no word of this version. A hub of an earlier release says nothing. */
export function readHubWord(text: string): HubWord | undefined {
  const value = parsed(text)
  if (!isRecord(value)) return undefined
  const { version, timeUrl, renewUrl, ends, warnMs, loginWarnMs } = value
  if (version !== 1 || !isWebUrl(timeUrl) || !isWebUrl(renewUrl) || !isNumber(warnMs) || !isNumber(loginWarnMs)) {
    return undefined
  }
  const word = { version, timeUrl, renewUrl, warnMs, loginWarnMs } as const
  if (ends === undefined) return word
  const end = readEnd(ends)
  return end && { ...word, ends: end }
}

function readEnd(value: unknown): HubWord['ends'] {
  if (!isRecord(value)) return undefined
  const { inMs, cause: named, why, canExtend } = value
  const cause = causes.find((each) => each === named)
  if (!isNumber(inMs) || cause === undefined || typeof why !== 'string' || why.length > longestWhy) return undefined
  return typeof canExtend === 'boolean' ? { inMs, cause, why, canExtend } : undefined
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined // an earlier hub answers with nothing at all
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}

function isWebUrl(value: unknown): value is string {
  return typeof value === 'string' && /^https?:\/\//.test(value) && URL.canParse(value)
}
