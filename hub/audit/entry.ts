/** One line of the audit trail: who did what to whom, when, from where, by which login or token. */
import type { Insertable, Selectable } from 'kysely'
import { z } from 'zod'
import type { Visitor } from '../domain/services.ts'
import type { AuditTable } from '../store/schema.ts'

interface AuditPerson {
  readonly id: string
  readonly name: string
}

/** `hub`: the hub by itself; `nobody`: a visitor who is not known; `service:…`: a login provider, a facility's program. */
type AuditActor = AuditPerson | 'hub' | 'nobody' | `service:${string}`

/** Who did it, from where, by which login or token. */
export type AuditedActor = Pick<AuditEntry, 'who' | 'from' | 'login' | 'token'>

export interface AuditEntry {
  readonly who: AuditActor
  /** `room.verb`: 'login.began', 'environment.launched', 'link.made'. What was refused ends in '.refused'. */
  readonly did: `${string}.${string}`
  readonly toWhom?: AuditPerson
  /** What it was done to, when that is no person: an environment's id, a proposal. */
  readonly what?: string
  /** Absent: now. */
  readonly at?: Date
  /** The browser's or program's address. */
  readonly from?: string
  /** Their public ids, never their secrets. */
  readonly login?: string
  readonly token?: string
  /** Short facts. Never secrets: what looks like one is taken out. */
  readonly detail?: Readonly<Record<string, Fact>>
}

type Fact = string | number | boolean | null | readonly string[]

/** As exported: one JSON object for each line. */
export interface AuditLine {
  readonly id: number
  /** ISO 8601. */
  readonly at: string
  readonly who: string
  readonly whoId?: string
  readonly did: string
  readonly toWhom?: string
  readonly toWhomId?: string
  readonly what?: string
  readonly from?: string
  readonly login?: string
  readonly token?: string
  readonly detail?: Readonly<Record<string, unknown>>
}

/** Who makes this request, for an entry: spread it. */
export function actorOf(visitor: Pick<Visitor, 'user' | 'by' | 'login' | 'address'>): AuditedActor {
  const { user, by, login, address } = visitor
  return {
    who: { id: user.id, name: user.name },
    ...(address === undefined ? {} : { from: address }),
    ...(by === 'cookie' ? { login } : { token: login }),
  }
}

const mostFacts = 30
const mostItems = 50
const longestFact = 500

export function rowOf(entry: AuditEntry, now: Date): Omit<Insertable<AuditTable>, 'id'> {
  const { who, toWhom, at = now } = entry
  const known = typeof who === 'object'
  return {
    at: at.getTime(),
    who: clean(known ? who.name : who),
    who_id: known ? who.id : null,
    did: entry.did,
    whom: toWhom === undefined ? null : clean(toWhom.name),
    whom_id: toWhom?.id ?? null,
    what: entry.what === undefined ? null : clean(entry.what),
    address: entry.from?.slice(0, 64) ?? null,
    login: entry.login ?? null,
    token: entry.token ?? null,
    detail: JSON.stringify(cleanFacts(entry.detail ?? {})),
  }
}

export function lineOf(row: Selectable<AuditTable>): AuditLine {
  const detail = detailOf(row.detail)
  return {
    id: row.id,
    at: new Date(row.at).toISOString(),
    who: row.who,
    ...(row.who_id === null ? {} : { whoId: row.who_id }),
    did: row.did,
    ...(row.whom === null ? {} : { toWhom: row.whom }),
    ...(row.whom_id === null ? {} : { toWhomId: row.whom_id }),
    ...(row.what === null ? {} : { what: row.what }),
    ...(row.address === null ? {} : { from: row.address }),
    ...(row.login === null ? {} : { login: row.login }),
    ...(row.token === null ? {} : { token: row.token }),
    ...(Object.keys(detail).length === 0 ? {} : { detail }),
  }
}

export function detailOf(text: string): Readonly<Record<string, unknown>> {
  return z.record(z.string(), z.unknown()).parse(JSON.parse(text))
}

function cleanFacts(detail: Readonly<Record<string, Fact>>): Record<string, Fact> {
  const facts = Object.entries(detail).slice(0, mostFacts)
  return Object.fromEntries(facts.map(([name, fact]) => [name, cleanFact(name, fact)]))
}

function cleanFact(name: string, fact: Fact): Fact {
  if (/secret|password|cookie|(?:access|refresh|id)_?token|authorization/i.test(name)) return '[secret]'
  if (typeof fact === 'string') return clean(fact)
  if (typeof fact === 'object' && fact !== null) return fact.slice(0, mostItems).map(clean)
  return fact
}

/** A JSON Web Token, a token of ours, a key in PEM: whoever wrote it here made a mistake. */
const secretLike = /\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)*|\bhutch_[\w-]{16,}|-----BEGIN [^-]*PRIVATE KEY-----[^]*/g

function clean(text: string): string {
  return text
    .replaceAll(secretLike, '[secret]')
    .replaceAll(/\p{C}+/gu, ' ')
    .slice(0, longestFact)
}
