/** A refresh token as a row of `logins` has it. */
import type { RefreshToken } from './code.ts'
import type { Seal } from './seal.ts'

interface RefreshColumns {
  readonly refresh_token: string | null
  readonly refresh_by: number | null
}

export function refreshColumns(
  seal: Seal,
  login: string,
  refresh: RefreshToken | undefined,
  now: number,
): RefreshColumns {
  if (refresh === undefined) return { refresh_token: null, refresh_by: null }
  const { token, forSeconds } = refresh
  const by = forSeconds === undefined ? null : Math.floor(now + forSeconds * 1000)
  return { refresh_token: seal.seal(token, `${login} refresh`), refresh_by: by }
}

/** Undefined: there is none, or it was sealed with another key. */
export function openRefreshToken(seal: Seal, login: string, { refresh_token }: RefreshColumns): string | undefined {
  return refresh_token === null ? undefined : seal.open(refresh_token, `${login} refresh`)
}
