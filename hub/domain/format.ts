/** How quantities and times read on the pages. Pure; the browser's half is assets/times.js. */

/** 1610612736 → '1.5 GiB'. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
  let value = Math.max(0, bytes)
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${trimmed(value, value < 10 ? 1 : 0)} ${units[unit]}`
}

/** 90_000 → '2 min'; 6_200 → '6 s'. Rounded to what a person would say. */
export function formatDuration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 90) return `${seconds} s`
  const minutes = Math.round(seconds / 60)
  if (minutes < 90) return `${minutes} min`
  const hours = minutes / 60
  if (hours < 36) return `${trimmed(hours, hours < 10 ? 1 : 0)} h`
  const days = Math.round(hours / 24)
  return `${days} days`
}

/** 0.5 → '0.5', 4 → '4'. */
export function formatCores(cpu: number): string {
  return trimmed(cpu, cpu < 10 ? 1 : 0)
}

/** '3 min ago', 'in 7.5 h', 'just now'. */
export function formatRelative(at: Date, now: Date): string {
  const difference = at.getTime() - now.getTime()
  if (Math.abs(difference) < 10_000) return difference > 0 ? 'in a moment' : 'just now'
  return difference < 0 ? `${formatDuration(-difference)} ago` : `in ${formatDuration(difference)}`
}

/** '21 Nov 2026, 10:52 UTC'; the browser shows the person's own time zone instead. */
export function formatMoment(at: Date): string {
  const [day, time] = [formatDay(at), at.toISOString().slice(11, 16)]
  return `${day}, ${time} UTC`
}

/** '21 Nov 2026'. */
export function formatDay(at: Date): string {
  const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
  return `${at.getUTCDate()} ${months[at.getUTCMonth()]} ${at.getUTCFullYear()}`
}

function trimmed(value: number, digits: number): string {
  return Number(value.toFixed(digits)).toString()
}
