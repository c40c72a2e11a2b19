import type { ExecutionContext } from 'ava'

/** What of AVA's context the bring-up uses. */
export function contextOf(opened: (() => unknown)[]): ExecutionContext {
  const quiet = (): void => undefined
  const context = {
    passed: true,
    teardown: (close: () => unknown) => void opened.push(close),
    timeout: Object.assign(quiet, { clear: quiet }),
    log: (line: unknown) => void process.stderr.write(`${String(line)}\n`),
    pass: quiet,
    fail: (message: string) => {
      throw new Error(message)
    },
  }
  return context as unknown as ExecutionContext
}
