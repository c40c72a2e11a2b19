/** Tokens of SLURM for a user: asked of the minter, kept half their life. The hub never has the key. */
import { request } from 'node:http'
import { z } from 'zod'
import { LaunchRefused } from '../spawner.ts'
import type { Person } from './cluster.ts'

export interface Tokens {
  /** @throws LaunchRefused when the minter says no. */
  of(person: Person, signal: AbortSignal): Promise<string>
  /** SLURM did not like it. */
  forget(person: Person): void
}

const answerSchema = z.object({ token: z.string().min(20).max(16_384), expiresAt: z.iso.datetime() })
const refusalSchema = z.object({ detail: z.string().max(1_000) })
const deadlineMs = 5_000
const mostKept = 10_000
const longestAnswerBytes = 65_536

interface Kept {
  readonly token: string
  readonly until: number
}

export function createTokens(socketPath: string, now: () => Date): Tokens {
  const kept = new Map<string, Kept>()
  return {
    forget: ({ user }) => void kept.delete(user),
    async of(person, signal) {
      const known = kept.get(person.user)
      if (known !== undefined && known.until > now().getTime()) return known.token
      const { status, text } = await ask(socketPath, person, signal)
      const body: unknown = JSON.parse(text)
      if (status === 403) throw new LaunchRefused(`${refusalSchema.parse(body).detail} Ask your administrator.`)
      if (status !== 200) throw new Error(`the minter of tokens answers with ${status}`)
      const { token, expiresAt } = answerSchema.parse(body)
      if (kept.size >= mostKept) kept.clear()
      // Half of it: whoever starts to use one has time to, and a clock may be wrong by some.
      const left = new Date(expiresAt).getTime() - now().getTime()
      kept.set(person.user, { token, until: now().getTime() + left / 2 })
      return token
    },
  }
}

async function ask(socketPath: string, body: Person, signal: AbortSignal): Promise<{ status: number; text: string }> {
  const text = JSON.stringify(body)
  return await new Promise((resolve, reject) => {
    const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) }
    const within = AbortSignal.any([signal, AbortSignal.timeout(deadlineMs)])
    const asking = request(
      { socketPath, method: 'POST', path: '/', headers, agent: false, signal: within },
      (answer) => {
        let received = ''
        answer.setEncoding('utf8')
        answer.on('data', (chunk: string) => {
          received += chunk
          if (received.length > longestAnswerBytes) asking.destroy(new Error('the minter of tokens says too much'))
        })
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text: received }))
      },
    )
    asking.on('error', (cause) => reject(new Error('the minter of tokens does not answer', { cause })))
    asking.end(text)
  })
}
