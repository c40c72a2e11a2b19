import { setTimeout as sleep } from 'node:timers/promises'

/** Waits until `check` gives something truthy and returns it; throws, naming `what`, after the deadline. */
export async function until<T>(
  what: string,
  check: () => T | Promise<T>,
  { timeoutMs = 10_000, everyMs = 20 } = {},
): Promise<NonNullable<Exclude<T, false>>> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const value = await check()
    if (value) return value as NonNullable<Exclude<T, false>>
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain: ${what}`)
    await sleep(everyMs)
  }
}

/** Waits until a number stays the same for a second: what was to flow has stopped. */
export async function untilStill(what: string, read: () => number): Promise<void> {
  let before = Number.NaN
  const isStill = async (): Promise<boolean> => {
    const same = read() === before
    before = read()
    await sleep(500)
    return same && read() === before
  }
  await until(what, isStill, { timeoutMs: 60_000 })
}
