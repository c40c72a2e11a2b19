/** Questions to ICAT with a session. It travels in addresses, so none is ever said or logged. */
import { z } from 'zod'
import { type Ask, unreachable } from './ask.ts'
import { createSessions, type Session } from './session.ts'

/** Answers the value of a query. */
export type Query = (text: string, signal: AbortSignal) => Promise<unknown>

interface Credential {
  readonly name: string
  readonly value: string
}

export interface IcatLogin {
  readonly plugin: string
  /** Asked at each login. `again`: those of before were refused. */
  readonly credentials: (again: boolean) => Promise<readonly Credential[]>
  /** For the log: whose login it is. */
  readonly who: string
}

const sessionSchema = z.object({ sessionId: z.string().min(1).max(512) })
const errorSchema = z.object({ code: z.string().regex(/^[A-Z_]{1,40}$/) })
/** ICAT says when one ends (two hours after its last use, usually) by refusing it. */
const sessionMs = 24 * 3_600_000

export function createQuery(url: string, ask: Ask, now: () => Date, login: IcatLogin): Query {
  const base = url.replace(/\/+$/, '')

  async function logIn(): Promise<Session> {
    const about = 'POST /session'
    for (const again of [false, true]) {
      const credentials = (await login.credentials(again)).map(({ name, value }) => ({ [name]: value }))
      const body = new URLSearchParams({ json: JSON.stringify({ plugin: login.plugin, credentials }) }).toString()
      const headers = { 'content-type': 'application/x-www-form-urlencoded' }
      const question = { about, url: new URL(`${base}/session`), method: 'POST', headers, body } as const
      // Not the signal of whoever asked first: others wait for the same login.
      const { status, value } = await ask(question, new AbortController().signal)
      const read = sessionSchema.safeParse(value)
      if (status < 300 && read.success) return { value: read.data.sessionId, endsAt: now().getTime() + sessionMs }
      if (again) throw unreachable(`${about}: ${login.who} is refused (${status})`)
    }
    throw new Error('a bug: two attempts are all there are')
  }

  const sessions = createSessions(logIn, now)
  return async (text, signal) => {
    const about = 'GET /entityManager'
    for (let again = false; ; again = true) {
      const session = await sessions.get()
      const address = new URL(`${base}/entityManager`)
      address.searchParams.set('sessionId', session.value)
      address.searchParams.set('query', text)
      const { status, value } = await ask({ about, url: address }, signal)
      if (status === 200) return value
      // Its message may repeat the query or the session; its code is one of few words.
      const error = errorSchema.safeParse(value)
      const code = error.success ? error.data.code : ''
      if (code !== 'SESSION' || again) throw unreachable(`${about}: answered ${status} ${code}`)
      sessions.forget(session)
    }
  }
}
