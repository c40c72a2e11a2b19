/** Labels, annotations and names: what of an environment the cluster carries, so that a lost database can be mended. */
import { createHash } from 'node:crypto'
import type { EnvironmentSpec } from '../spawner.ts'

export const label = {
  hub: 'hutch.dev/hub',
  environment: 'hutch.dev/environment',
  app: 'app.kubernetes.io/name',
  managedBy: 'app.kubernetes.io/managed-by',
  network: 'hutch.dev/network',
} as const

export const annotation = {
  owner: 'hutch.dev/owner',
  digest: 'hutch.dev/digest',
  endsAt: 'hutch.dev/ends-at',
  walltime: 'hutch.dev/walltime-ms',
} as const

/** The value of `label.app`. */
export const environmentApp = 'hutch-environment'

/** The container that is the environment; others stand beside it. */
export const mainContainer = 'environment'

export function selectorOf(hub: string): string {
  return `${label.hub}=${labelValue(hub)}`
}

/** A label's value: at most 63 of [A-Za-z0-9._-], an alphanumeric at both ends. What differs stays different. */
export function labelValue(text: string): string {
  return /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/.test(text) ? text : shortened(text, 63)
}

/** A DNS label of what may be any name: alice.o'neil → alice-o-neil-1f2e3d4c. */
export function dnsName(text: string): string {
  return /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(text) ? text : shortened(text, 63)
}

function shortened(text: string, most: number): string {
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 8)
  const readable = text
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replace(/^-+/, '')
  return `${readable.slice(0, most - 9).replace(/-+$/, '')}-${hash}`.replace(/^-+/, '')
}

export function namespaceOf(template: string, spec: Pick<EnvironmentSpec, 'hub' | 'owner' | 'account'>): string {
  return dnsName(
    template
      .replaceAll('{hub}', dnsName(spec.hub))
      .replaceAll('{owner}', dnsName(spec.owner))
      .replaceAll('{gid}', String(spec.account.gid)),
  )
}

/** Whether pods of one hub may lie in more than one namespace. */
export function isManyNamespaces(template: string): boolean {
  return template.includes('{owner}') || template.includes('{gid}')
}

/** {owner}, {id} and {profile} in the name of a claim. */
export function claimName(template: string, spec: EnvironmentSpec): string {
  return dnsName(
    template
      .replaceAll('{owner}', dnsName(spec.owner))
      .replaceAll('{id}', spec.id)
      .replaceAll('{profile}', dnsName(spec.variables['HUTCH_PROFILE'] ?? 'profile')),
  )
}
