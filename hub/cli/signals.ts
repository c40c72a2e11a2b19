/** Ctrl-C and its relatives: the first asks for an orderly end, one that comes later ends at once. */
export interface Signals {
  /** Aborted by the first SIGINT, SIGTERM or SIGHUP. */
  readonly first: AbortSignal
  close(): void
}

/** A terminal, npm and our own launcher each pass the same Ctrl-C on: within this time it is one. */
const sameMs = 1_000

export function listenForSignals(): Signals {
  const controller = new AbortController()
  let firstAt = 0
  const handle = (signal: NodeJS.Signals): void => {
    if (!controller.signal.aborted) {
      firstAt = performance.now()
      controller.abort()
    } else if (performance.now() - firstAt > sameMs) {
      process.exit(signal === 'SIGINT' ? 130 : 143)
    }
  }
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  for (const name of names) process.on(name, handle)
  return {
    first: controller.signal,
    close: () => names.forEach((name) => process.off(name, handle)),
  }
}
