/** What a schema found, in words: what is wrong; remedy. */
import { z } from 'zod'
import type { Finding, Path } from './mistake.ts'
import { nearest } from './nearest.ts'
import { either, plain } from './text.ts'

/** The part of a zod issue that is read here; a site's spawner may bring a zod of its own. */
interface Issue {
  readonly code?: string
  readonly path: readonly PropertyKey[]
  readonly message: string
  readonly [more: string]: unknown
}

/** Checks `input` and finds everything that is wrong with it, with `prefix` before each path. */
export function findings(schema: z.ZodType, input: unknown, prefix: Path = []): Finding[] {
  const result = schema.safeParse(input)
  if (result.success) return []
  const described = describe(schema)
  return result.error.issues.flatMap((issue) => {
    const path = issue.path.map((segment) => (typeof segment === 'number' ? segment : String(segment)))
    const found = inWords(issue as unknown as Issue, path, input, described)
    return found.map((finding) => ({ ...finding, path: [...prefix, ...finding.path] }))
  })
}

function inWords(issue: Issue, path: Path, input: unknown, described: JsonSchema | undefined): Finding[] {
  const value = valueAt(input, path)
  const field = described && schemaAt(described, path, input)
  const remedy = field?.description === undefined ? '' : `; ${lowerFirst(field.description)}`
  switch (issue.code) {
    case 'unrecognized_keys':
      return (issue['keys'] as readonly string[]).map((key) => {
        const meant = nearest(key, knownKeys(field))
        const known = knownKeys(field)
        const hint = meant === undefined ? knownHint(known) : `; did you mean ${meant}?`
        return { path: [...path, key], atKey: true, message: `there is no such field${hint}` }
      })
    case 'invalid_key': {
      const inner = (issue['issues'] as readonly Issue[] | undefined)?.[0]?.message ?? 'is not a possible name'
      return [{ path, atKey: true, message: `this name ${inner}` }]
    }
    case 'invalid_type':
      if (value === undefined) return [{ path, atKey: true, message: `is missing${remedy}` }]
      if (value === null) return [{ path, atKey: true, message: `is empty; write a value or take the line out` }]
      if (!issue.message.startsWith('Invalid input')) return [{ path, message: issue.message }]
      return [{ path, message: `must be ${kind(issue['expected'])}, not ${kindOf(value)}${remedy}` }]
    case 'invalid_value':
      return [{ path, message: oneOf(issue['values'], value) }]
    case 'invalid_union':
      if (value === undefined) {
        return [{ path, atKey: true, message: `is missing; it is ${either(words(issue['options'])) || 'needed'}` }]
      }
      if (Array.isArray(issue['options'])) return [{ path, message: oneOf(issue['options'], value) }]
      return [{ path, message: `fits none of the possible forms${remedy}` }]
    case 'too_small':
    case 'too_big':
      return [{ path, message: `${bound(issue)}${remedy}` }]
    case 'invalid_format':
      if (issue['format'] === 'url') return [{ path, message: `is not a URL, such as https://hutch.example.org` }]
      return [{ path, message: issue.message.startsWith('Invalid') ? `is not well-formed${remedy}` : issue.message }]
    case undefined:
    default:
      return [{ path, message: issue.message }]
  }
}

function oneOf(values: unknown, value: unknown): string {
  const known = words(values)
  const meant = typeof value === 'string' ? nearest(value, known) : undefined
  const hint = meant === undefined ? '' : `; did you mean ${meant}?`
  return `must be ${either(known)}${hint}`
}

function bound(issue: Issue): string {
  const least = issue.code === 'too_small'
  const limit = String(issue[least ? 'minimum' : 'maximum'])
  const origin = issue['origin']
  if (origin === 'array' || origin === 'string') {
    const unit = origin === 'array' ? 'entries' : 'characters'
    if (least && limit === '1') return 'must not be empty'
    return `must have ${least ? 'at least' : 'at most'} ${limit} ${unit}`
  }
  if (issue['inclusive'] === false) return `must be ${least ? 'more' : 'less'} than ${limit}`
  return `must be ${least ? 'at least' : 'at most'} ${limit}`
}

function kind(expected: unknown): string {
  switch (expected) {
    case 'object':
    case 'record':
      return 'a section with fields of its own'
    case 'array':
    case 'tuple':
      return 'a list'
    case 'boolean':
      return 'true or false'
    case 'int':
      return 'a whole number'
    case 'number':
      return 'a number'
    case 'string':
      return 'text'
    default:
      return String(expected)
  }
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'object' ? 'a section' : typeof value === 'string' ? 'text' : `a ${typeof value}`
}

function words(values: unknown): string[] {
  return Array.isArray(values) ? values.map(String) : []
}

function knownHint(known: readonly string[]): string {
  return known.length === 0 || known.length > 12 ? '' : `; there are ${known.join(', ')}`
}

function lowerFirst(text: string): string {
  const first = text.split(/(?<=\.)\s/)[0]?.replace(/\.$/, '') ?? ''
  return /^[A-Z][a-z]/.test(first) ? first[0]?.toLowerCase() + first.slice(1) : first
}

function valueAt(input: unknown, path: Path): unknown {
  let value = input
  for (const segment of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, segment)) return undefined
    value = (value as Record<string, unknown>)[segment]
  }
  return value
}

/** The few parts of a JSON schema that are read here. */
interface JsonSchema {
  readonly description?: string
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly additionalProperties?: JsonSchema | boolean
  readonly items?: JsonSchema
  readonly oneOf?: readonly JsonSchema[]
  readonly anyOf?: readonly JsonSchema[]
  readonly const?: unknown
}

function describe(schema: z.ZodType): JsonSchema | undefined {
  try {
    return z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any', reused: 'inline' }) as JsonSchema
  } catch {
    // A schema of a site's own that JSON schema can't express: its mistakes are told without hints.
    return undefined
  }
}

function schemaAt(schema: JsonSchema, path: Path, input: unknown): JsonSchema | undefined {
  let [node, value]: [JsonSchema | undefined, unknown] = [branch(schema, input), input]
  for (const segment of path) {
    if (node === undefined) return undefined
    value = valueAt(value, [segment])
    const more: JsonSchema | undefined =
      typeof node.additionalProperties === 'object' ? node.additionalProperties : undefined
    const next: JsonSchema | undefined =
      typeof segment === 'number'
        ? node.items
        : Object.hasOwn(node.properties ?? {}, segment)
          ? node.properties?.[segment]
          : more
    node = next && branch(next, value)
  }
  return node
}

/** Of a union, the form whose constant fields (`type:`, `source:`) are those that were written. */
function branch(schema: JsonSchema, value: unknown): JsonSchema {
  const forms = schema.oneOf ?? schema.anyOf ?? []
  const fits = forms.find((form) => {
    const constants = Object.entries(form.properties ?? {}).filter(([, field]) => field.const !== undefined)
    return constants.length > 0 && constants.every(([key, field]) => valueAt(value, [key]) === field.const)
  })
  return fits ?? schema
}

function knownKeys(schema: JsonSchema | undefined): string[] {
  return Object.keys(schema?.properties ?? {})
}

/** For names that one part of the configuration takes from another. */
export function unknownName(what: string, name: string, known: readonly string[]): string {
  const meant = nearest(name, known)
  const hint =
    meant === undefined ? (known.length === 0 ? '' : `there are ${known.join(', ')}`) : `did you mean ${meant}?`
  return `there is no ${what} ${plain(name)}${hint === '' ? '' : `; ${hint}`}`
}
