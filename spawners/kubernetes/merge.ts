/** The escape hatch: a patch in the manner of Kubernetes' strategic merge, applied before anything is sent. Pure. */

/** Objects merge by key, null removes; lists of objects merge by what names their members, others are replaced. */
export function merge(base: unknown, patch: unknown): unknown {
  if (Array.isArray(base) && Array.isArray(patch)) return mergeLists(base, patch)
  if (!isObject(patch)) return patch
  // RFC 7396: into what is no object, as into an empty one, so that no null is left.
  const merged = new Map(isObject(base) ? Object.entries(base) : [])
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) merged.delete(key)
    else merged.set(key, merge(merged.get(key), value))
  }
  return Object.fromEntries(merged)
}

/** As the API's own merge keys: mountPath of volume mounts, key of tolerations, name of nearly all else. */
const mergeKeys = ['name', 'mountPath', 'devicePath', 'containerPort', 'topologyKey'] as const

function mergeLists(base: readonly unknown[], patch: readonly unknown[]): unknown[] {
  const by = mergeKeys.find((key) => patch.length > 0 && patch.every((item) => isObject(item) && key in item))
  // Several mounts of one volume have the same name: there the path decides.
  const key = [...base, ...patch].every((item) => isObject(item) && 'mountPath' in item) ? 'mountPath' : by
  if (key === undefined) return [...patch]
  const merged = [...base]
  for (const item of patch) {
    const index = merged.findIndex((each) => isObject(each) && each[key] === (item as Record<string, unknown>)[key])
    if (index === -1) merged.push(item)
    else merged[index] = merge(merged[index], item)
  }
  return merged
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
