/** What home says once after a rename, with the way back: kept in a cookie, so that any hub of several can say it. */
import type { Context } from 'koa'
import { z } from 'zod'
import { type EnvironmentId, isEnvironmentId } from '../../spawners/spawner.ts'
import { readCookies } from '../identity/cookies.ts'
import { renameSchema } from './input.ts'

export interface Renamed {
  readonly id: EnvironmentId
  /** The title before. */
  readonly was: string
}

const name = 'hutch-renamed'
const keptSeconds = 60
const schema = z.strictObject({ id: z.string().refine(isEnvironmentId), was: renameSchema.shape.title })

export function rememberRename(ctx: Context, renamed: Renamed): void {
  write(ctx, Buffer.from(JSON.stringify(renamed)).toString('base64url'), keptSeconds)
}

/** Once. What somebody else may have put into the cookie is no more than a title that its owner could give. */
export function takeRename(ctx: Context): Renamed | undefined {
  const text = readCookies(ctx.get('Cookie')).get(name)
  if (text === undefined) return undefined
  write(ctx, '', 0)
  const read = schema.safeParse(parseJson(Buffer.from(text, 'base64url').toString()))
  return read.success ? read.data : undefined
}

function write(ctx: Context, value: string, seconds: number): void {
  ctx.append('Set-Cookie', `${name}=${value}; Path=/hub/home; Max-Age=${seconds}; HttpOnly; SameSite=Lax`)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined // no rename of ours
  }
}
