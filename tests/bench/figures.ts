/** Medians and rows: figures are quoted as ratios within one run, never as absolute promises. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN
}

export function row(title: string, figures: Readonly<Record<string, string | number>>): void {
  const text = Object.entries(figures).map(
    ([name, value]) => `${name} ${typeof value === 'number' ? Number(value.toPrecision(4)) : value}`,
  )
  process.stdout.write(`${title.padEnd(56)}${text.join(', ')}\n`)
}

/** Resident memory of a process, bytes. */
export async function residentBytes(pid: number): Promise<number> {
  const { readFile } = await import('node:fs/promises')
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB/m.exec(await readFile(`/proc/${pid}/status`, 'utf8')) ?? []
  return Number(kilobytes) * 1024
}

/**
 * CPU time that a process's threads have used, ms: what the scheduler counted. The ticks of /proc/<pid>/stat are 10 ms
 * each, given to whoever runs when one is over; at rest they are luck.
 */
export async function cpuMs(pid: number): Promise<number> {
  const { readdir, readFile } = await import('node:fs/promises')
  const threads = await readdir(`/proc/${pid}/task`)
  const times = await Promise.all(
    threads.map(async (thread) => {
      const text = await readFile(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').catch(() => '0')
      return Number(text.split(' ', 1)[0]) / 1e6
    }),
  )
  return times.reduce((sum, each) => sum + each, 0)
}
