/**
 * Contract suites: what every plug-in of a kind must do, the examples and a facility's own, whatever runs the tests.
 * Each case throws with a sentence that says which promise was broken. With any runner:
 *
 *     for (const { title, run } of accountContract) test(title, () => run(subject))
 */
import assert from 'node:assert/strict'

export interface ContractCase<Subject> {
  readonly title: string
  readonly run: (subject: Subject) => Promise<void>
}

/** Each case with a plug-in of its own. */
export function contractOf<Plugin extends { close?(): Promise<void> }, Subject extends { make(): Promise<Plugin> }>(
  cases: Readonly<Record<string, (plugin: Plugin, subject: Subject) => Promise<void>>>,
): readonly ContractCase<Subject>[] {
  return Object.entries(cases).map(([title, check]) => ({
    title,
    run: async (subject) => {
      const plugin = await subject.make()
      try {
        await check(plugin, subject)
      } finally {
        await plugin.close?.()
      }
    },
  }))
}

/** Longer than anybody waits for an answer. */
const deadlineMs = 10_000

export const inTime = (): AbortSignal => AbortSignal.timeout(deadlineMs)

/** What somebody may type or register as, and what no source may stumble over. */
export const hostileNames = [
  '',
  ' ',
  '*',
  'a*',
  ')(uid=*',
  '*)(|(uid=*',
  '../../etc/passwd',
  "' or '1'='1",
  'root\0',
  'a\nb',
  '__proto__',
  'constructor',
  'ü',
  '\u202Eadmin',
  'x'.repeat(5_000),
] as const

/** Asserts that it fails by itself, and soon. */
export async function fails(what: string, asked: () => Promise<unknown>): Promise<void> {
  const begun = Date.now()
  const answer = await asked().then(
    (value) => ({ value }),
    () => undefined,
  )
  if (answer !== undefined) assert.fail(`${what}: it must throw, and it answered ${JSON.stringify(answer.value)}`)
  assert.ok(Date.now() - begun <= deadlineMs + 2_000, `${what}: it took ${Date.now() - begun} ms to fail`)
}
