/** Quantities as people write them: `4GiB`, `8h`, `127.0.0.1:8000`. Parsed once, here; inside, units are in the names. */
import { z } from 'zod'

const byteFactors: Readonly<Record<string, number>> = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
  TIB: 2 ** 40,
}

const durationFactors: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

/** '4GiB' → 4294967296. Undefined when it is not an amount of memory. */
export function parseBytes(text: string): number | undefined {
  const [, amount, unit] = /^(\d+(?:\.\d+)?)\s*([KMGT]?i?B)$/i.exec(text.trim()) ?? []
  const factor = byteFactors[unit?.toUpperCase() ?? '']
  if (amount === undefined || factor === undefined) return undefined
  return possible(Math.round(Number(amount) * factor))
}

/** '8h' → 28800000, '1h30min' → 5400000. Undefined when it is not a length of time. */
export function parseDuration(text: string): number | undefined {
  const compact = text.replaceAll(/\s+/g, '')
  if (!/^(\d+(\.\d+)?(ms|s|min|h|d))+$/.test(compact)) return undefined
  let total = 0
  for (const [, amount, unit] of compact.matchAll(/(\d+(?:\.\d+)?)(ms|s|min|h|d)/g)) {
    total += Number(amount) * (durationFactors[unit ?? ''] ?? Number.NaN)
  }
  return possible(total)
}

function possible(value: number): number | undefined {
  return value <= Number.MAX_SAFE_INTEGER ? value : undefined
}

/** Text, because it needs its unit: a bare number gets the same answer as a wrong one. */
const written = (mistake: string) => z.string({ error: ({ input }) => (input == null ? undefined : mistake) })

/** An amount of memory or storage in bytes, written with its unit. */
export const bytes = written('is not an amount with a unit, such as 512MiB or 4GiB').transform((text, ctx) => {
  const value = parseBytes(text)
  if (value !== undefined) return value
  ctx.addIssue({ code: 'custom', message: 'is not an amount with a unit, such as 512MiB or 4GiB' })
  return z.NEVER
})

/** A length of time in ms, written with its unit. */
export const duration = written('is not a length of time with a unit, such as 30s, 8h or 1h30min').transform(
  (text, ctx) => {
    const value = parseDuration(text)
    if (value !== undefined) return value
    ctx.addIssue({ code: 'custom', message: 'is not a length of time with a unit, such as 30s, 8h or 1h30min' })
    return z.NEVER
  },
)

/** `127.0.0.1:8000`, `[::1]:8000` → host and port. */
export const listenAddress = written('is not an address with a port, such as 127.0.0.1:8000 or [::1]:8000').transform(
  (text, ctx) => {
    const [, six, four, port] = /^(?:\[([0-9a-f:.]+)\]|([^:\s]+)):(\d{1,5})$/i.exec(text) ?? []
    const host = six ?? four
    if (host !== undefined && Number(port) <= 65_535) return { host, port: Number(port) }
    ctx.addIssue({ code: 'custom', message: 'is not an address with a port, such as 127.0.0.1:8000 or [::1]:8000' })
    return z.NEVER
  },
)
