/** The host name of a user's environments. Pure. */
import { createHash } from 'node:crypto'

/**
 * `{user}` in the pattern becomes one label of DNS, and two users never share one. With a dot in it a name would be a
 * host below another user's, who could set cookies there, and no wildcard certificate would cover it.
 */
export function environmentHost(pattern: string, owner: string): string {
  return pattern.replaceAll('{user}', isLabel(owner) ? owner : labelFor(owner))
}

/** Two hyphens in a row are kept for the names that are made here. */
function isLabel(name: string): boolean {
  return name.length <= longestLabel && /^[a-z0-9]+(?:-[a-z0-9]+)*$/.test(name)
}

function labelFor(name: string): string {
  const readable = name
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, 40)
    .replace(/-$/, '')
  return `${readable}--${createHash('sha256').update(name).digest('hex').slice(0, 20)}`
}

const longestLabel = 63
