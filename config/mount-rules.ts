/** The mount rules as written: known placeholders, absolute paths, sources beneath their roots. */
import { posix } from 'node:path'
import type { Finding, Path } from './mistake.ts'
import type { Configuration, MountRule } from './schema.ts'
import { either } from './text.ts'
import { unknownName } from './words.ts'

export const mountPlaceholders = [
  'proposal',
  'instrument',
  'session',
  'year',
  'user',
  'dataset',
  'datasetId',
  'folder',
] as const

const ofDatasets: readonly string[] = ['dataset', 'datasetId', 'folder']

/** A path of its own: what is before it can be a server, or folders. */
const withoutFolder = (text: string): string => text.replaceAll('{folder}', '/{folder}')

export function mountFindings(rules: readonly MountRule[]): Finding[] {
  const found = rules.flatMap((rule, index) => ruleFindings(rule, ['mounts', index]))
  for (const [index, { target }] of rules.entries()) {
    const first = rules.findIndex((other) => other.target === target)
    if (first < index) {
      found.push({ path: ['mounts', index, 'target'], message: `is the same as that of mounts[${first}]; change one` })
    }
  }
  return found
}

function ruleFindings(rule: MountRule, path: Path): Finding[] {
  const [source, target] = [
    [...path, 'source'],
    [...path, 'target'],
  ]
  const roots = rule.allowedRoots.flatMap((root, index) => {
    const problem = rootProblem(root)
    return problem === undefined ? [] : [{ path: [...path, 'allowedRoots', index], message: problem }]
  })
  return [
    ...placeholderFindings(rule.source, rule.for, source),
    ...placeholderFindings(rule.target, rule.for, target),
    ...pathFindings(splitServer(withoutFolder(rule.source)).path, source),
    ...pathFindings(rule.target, target),
    ...(rule.group === undefined ? [] : placeholderFindings(rule.group, rule.for, [...path, 'group'])),
    ...(rule.mostGroups !== undefined && rule.group === undefined
      ? [{ path: [...path, 'group'], atKey: true, message: 'is missing; mostGroups needs it to know which come first' }]
      : []),
    ...roots,
    ...(roots.length === 0 ? beneathFindings({ ...rule, source: withoutFolder(rule.source) }, source) : []),
    ...datasetFindings(rule, path),
    ...securityFindings(rule, path),
    ...(rule.for === 'proposal' && !rule.target.includes('{proposal}')
      ? [{ path: target, message: 'must contain {proposal}: two chosen proposals would be mounted over each other' }]
      : []),
  ]
}

function securityFindings({ source, security }: MountRule, path: Path): Finding[] {
  const isExport = splitServer(withoutFolder(source)).server !== undefined
  if (security === 'sys' || isExport) return []
  return [{ path: [...path, 'security'], message: 'is of exports; write server:/path, or take it out' }]
}

/** Where restored data are shown and where they may lie, as mounts are. */
export function archiveFindings(archive: Configuration['archive']): Finding[] {
  if (archive === undefined) return []
  const target = ['archive', 'target']
  return [
    ...archive.roots.flatMap((root, index) => {
      const problem = rootProblem(root)
      return problem === undefined ? [] : [{ path: ['archive', 'roots', index], message: problem }]
    }),
    ...placeholderFindings(archive.target, 'dataset', target),
    ...pathFindings(archive.target, target),
    ...datasetFindings({ for: 'dataset', wholeOnly: false, target: archive.target }, ['archive']),
  ]
}

function datasetFindings(
  { for: once, target, wholeOnly }: Pick<MountRule, 'for' | 'target' | 'wholeOnly'>,
  path: Path,
): Finding[] {
  if (once !== 'proposal' && wholeOnly) {
    return [{ path: [...path, 'wholeOnly'], message: 'is for rules with for: proposal; take it out' }]
  }
  if (target.includes('{folder}')) {
    return [{ path: [...path, 'target'], message: 'must not contain {folder}, a whole path; write {dataset}' }]
  }
  if (once !== 'dataset' || /\{dataset(Id)?\}/.test(target)) return []
  const message = 'must contain {dataset} or {datasetId}: two chosen datasets would be mounted over each other'
  return [{ path: [...path, 'target'], message }]
}

function placeholderFindings(text: string, once: MountRule['for'], path: Path): Finding[] {
  const found: Finding[] = []
  for (const [, name = ''] of text.matchAll(/\{([^{}]*)\}/g)) {
    if (!mountPlaceholders.some((known) => known === name)) {
      found.push({ path, message: unknownName('placeholder', name, mountPlaceholders) })
    } else if (once !== 'dataset' && ofDatasets.includes(name)) {
      found.push({ path, message: `{${name}} is unknown here: the rule is for: ${once}; write for: dataset` })
    } else if (once === 'user' && name !== 'user') {
      found.push({ path, message: `{${name}} is unknown here: the rule is for: user; write for: proposal` })
    }
  }
  if (/[{}]/.test(text.replaceAll(/\{[^{}]*\}/g, ''))) {
    found.push({
      path,
      message: `has a single brace; placeholders are ${either(mountPlaceholders.map((name) => `{${name}}`))}`,
    })
  }
  return found
}

function pathFindings(text: string, path: Path): Finding[] {
  if (!text.startsWith('/')) return [{ path, message: 'must be an absolute path' }]
  if (text.split('/').some((segment) => segment === '..' || segment === '.') || text.includes('\0')) {
    return [{ path, message: 'must not contain . or .. between slashes' }]
  }
  return []
}

function rootProblem(root: string): string | undefined {
  const { path } = splitServer(root)
  if (/[{}]/.test(path)) return 'must not contain placeholders: it is what they are checked against'
  if (!path.startsWith('/') || posix.normalize(path) !== path) return 'must be an absolute path without . and ..'
  return path === '/' ? 'would allow everything; name the folder that holds the data' : undefined
}

/** Whatever the placeholders become, the source must be able to lie beneath a root: compared as far as it is fixed. */
function beneathFindings({ source, allowedRoots }: MountRule, path: Path): Finding[] {
  const { server, path: sourcePath } = splitServer(source)
  const fixed = sourcePath.split('{', 1)[0] ?? ''
  const fits = allowedRoots.some((text) => {
    const root = splitServer(text)
    if (root.server !== server) return false
    const folder = root.path.endsWith('/') ? root.path : `${root.path}/`
    return `${fixed}/`.startsWith(folder) || (fixed !== sourcePath && folder.startsWith(fixed))
  })
  return fits ? [] : [{ path, message: `lies beneath none of allowedRoots (${allowedRoots.slice(0, 5).join(', ')})` }]
}

/** 'server:/export/data' → server and path; a host path has no server. */
function splitServer(text: string): { server: string | undefined; path: string } {
  const [, server, path] = /^([A-Za-z0-9._-]+|\[[0-9a-fA-F:]+\]):(\/.*)$/.exec(text) ?? []
  return path === undefined ? { server: undefined, path: text } : { server, path }
}
