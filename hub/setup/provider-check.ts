/** Asks each login provider once, so that whoever starts the hub learns at once that people can't log in with it. */
import type { Configuration } from '../../config/schema.ts'

const answerTimeoutMs = 10_000

/** One line for each provider that does not answer as one. Never throws: the hub runs on, and asks again at each login. */
export async function unreachableProviders(
  { providers }: Configuration['login'],
  options: Readonly<{ fetch: typeof fetch; signal: AbortSignal }>,
): Promise<string[]> {
  const asked = Object.entries(providers).map(async ([name, { issuer }]) => {
    const problem = await ask(issuer, options)
    return problem === undefined
      ? []
      : [`login.providers.${name}: ${issuer} ${problem}; nobody can log in with it until it does`]
  })
  return (await Promise.all(asked)).flat()
}

async function ask(
  issuer: string,
  { fetch, signal }: Readonly<{ fetch: typeof globalThis.fetch; signal: AbortSignal }>,
): Promise<string | undefined> {
  try {
    const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(answerTimeoutMs)])
    const answer = await fetch(url, { signal: deadline, redirect: 'error' })
    await answer.body?.cancel()
    return answer.ok ? undefined : `answers ${answer.status} where its discovery document should be`
  } catch (error) {
    if (signal.aborted) return undefined
    const cause = (error as { cause?: { code?: unknown } }).cause?.code
    return `does not answer (${typeof cause === 'string' ? cause : (error as Error).name})`
  }
}
