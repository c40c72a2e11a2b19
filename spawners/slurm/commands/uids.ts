/** The uid of a user, from this machine's name service: for systems that tell names alone. */
import type { Run } from './run.ts'

export interface Uids {
  /** -1: nobody has this name. */
  of(user: string, signal: AbortSignal): Promise<number>
}

const keptMs = 3_600_000
const mostKept = 10_000

export function createUids(run: Run, variables: Readonly<Record<string, string>>, now: () => Date): Uids {
  const kept = new Map<string, Readonly<{ uid: number; until: number }>>()
  return {
    async of(user, signal) {
      const known = kept.get(user)
      if (known !== undefined && known.until > now().getTime()) return known.uid
      if (!/^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}$/.test(user)) return -1
      const { code, output, said } = await run(['getent', 'passwd', '--', user], { variables, signal })
      // getent(1): 2 is "one or more supplied key could not be found".
      if (code !== 0 && code !== 2) throw new Error(`getent can't look for ${user}: ${said}`)
      const [name = '', , number = ''] = output.toString().split('\n', 1)[0]?.split(':') ?? []
      const uid = code === 0 && name === user && /^\d+$/.test(number) ? Number(number) : -1
      if (kept.size >= mostKept) kept.clear()
      kept.set(user, { uid, until: now().getTime() + keptMs })
      return uid
    },
  }
}
