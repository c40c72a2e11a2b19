/** What people may send to the pages and their API: one schema for each input, and a Problem that names the field. */
import { z } from 'zod'
import { Problem } from '../domain/problem.ts'
import { type EnvironmentId, isEnvironmentId } from '../../spawners/spawner.ts'

/** Control characters and the ones that turn the writing direction have no place in a name. */
const unprintable = /[\p{Cc}\p{Cs}\u202A-\u202E\u2066-\u2069]/u

const line = (longest: number) =>
  z
    .string()
    .max(longest, `must have at most ${longest} characters`)
    .refine((text) => !unprintable.test(text), 'must be printable text on one line')

const title = line(120).transform((text) => text.normalize('NFC').trim())

export const renameSchema = z.strictObject({ title: title.refine((text) => text !== '', 'must not be empty') })

export const askSchema = z.object({ note: line(500).default('') })

export const approveSchema = z.strictObject({ user: line(64).transform((text) => text.trim()) })

const because = line(500)
  .transform((text) => text.trim())
  .refine((text) => text !== '', 'must say why: the person reads it')

export const refuseSchema = z.strictObject({ reason: because })

/** Why one of the staff enters another's environment: its owner reads it. */
export const reasonSchema = z.object({ reason: because })

export const shareSchema = z.object({
  with: z
    .string()
    .max(300)
    .transform((text) => text.trim()),
  kind: z.enum(['user', 'group']).default('user'),
  role: z.enum(['guest', 'viewer']).default('guest'),
  /** Absent or empty: as long as the environment. Else a number of hours. */
  hours: z.literal('').or(z.coerce.number().positive().max(8_760)).default(''),
})

export const shareLinkSchema = z.object({
  role: z.enum(['guest', 'viewer']).default('guest'),
  hours: z.coerce.number().positive().max(720).default(24),
})

export const identitySchema = z.strictObject({ issuer: z.string().max(2_000), subject: z.string().max(255) })

export const searchSchema = z.object({
  search: line(200).optional(),
  offset: z.coerce.number().int().min(0).max(100_000).default(0),
  limit: z.coerce.number().int().min(1).max(100).default(20),
})

/** Of the datasets of a proposal. */
export const findSchema = z.object({
  find: line(200).optional(),
  offset: z.coerce.number().int().min(0).max(1_000_000).default(0),
  limit: z.coerce.number().int().min(1).max(100).default(20),
})

export const restoreSchema = z.object({ restore: z.string().max(255) })

/** With which proposals: may come many times in an address. */
export const offersSchema = z.object({
  proposals: z
    .union([z.string().transform((id) => [id]), z.array(z.string())])
    .default([])
    .refine((ids) => ids.length <= 50 && ids.every((id) => id.length <= 64), 'must be at most 50 proposals'),
})

export const enterSchema = z.object({
  environment: z.string().max(64),
  /** The hash of the proxy's nonce cookie; issueTicket looks at its shape. */
  nonce: z.string().max(128),
  next: z.string().max(4_096).optional(),
  understood: z.literal('yes').optional(),
})

export const belowSchema = z.object({ below: z.string().max(4_096).optional() })
export const nextSchema = z.object({ next: z.string().max(4_096).optional() })

/** The value, or a Problem 'badRequest' whose detail names every field at fault. */
export function parse<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const [first] = result.error.issues
  const detail = result.error.issues.slice(0, 5).map(sentence).join('; ')
  const field = first?.path.join('.')
  throw new Problem('badRequest', `${detail}.`, field ? { field, cause: result.error } : { cause: result.error })
}

/** From a path. What can't be an id is simply nothing that exists. */
export function parseEnvironmentId(text: string | undefined): EnvironmentId {
  if (text !== undefined && isEnvironmentId(text)) return text
  throw new Problem('notFound', 'There is no environment of yours with this name. Look on your home page.')
}

function sentence(issue: z.core.$ZodIssue): string {
  const where = issue.path.join('.')
  return where === '' ? issue.message : `${where}: ${issue.message}`
}
