/** The reference page and the JSON schema, made from the schemas: what is written there is what is checked. */
import { z } from 'zod'
import { configurationSchema } from './schema.ts'
import type { SpawnerSchemas } from './spawner-parts.ts'

interface Field {
  readonly type?: string
  readonly description?: string
  readonly default?: unknown
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly properties?: Readonly<Record<string, Field>>
  readonly required?: readonly string[]
  readonly additionalProperties?: Field | boolean
  readonly items?: Field
  readonly oneOf?: readonly Field[]
  readonly anyOf?: readonly Field[]
}

export type NamedSpawners = Readonly<Record<string, SpawnerSchemas>>

export function renderJsonSchema(): string {
  const schema = { title: 'Configuration of Hutch', ...inputSchema(configurationSchema) }
  return `${JSON.stringify(schema, null, 2)}\n`
}

/** Markdown. */
export function renderReference(spawners: NamedSpawners): string {
  const parts = Object.entries(spawners).flatMap(([type, { configSchema, profileSchema }]) => [
    `## Spawner \`${type}\``,
    ...table(`\`spawners.<name>\` with \`type: ${type}\``, inputSchema(configSchema)),
    ...table(`\`profiles.<name>.on.<spawner>\` for such a spawner`, inputSchema(profileSchema)),
  ])
  return `${[intro, ...sections(inputSchema(configurationSchema)), ...parts].join('\n\n')}\n`
}

const intro = `# Configuration

This page is generated from the schema (\`npm run reference\`); \`hutch check FILE\` tells every mistake of a file at once.

A configuration is one YAML or JSON file. Unknown fields are mistakes. Amounts carry their unit (\`512MiB\`, \`4GiB\`; \`30s\`, \`8h\`, \`1h30min\`). Relative paths are relative to the file. Secrets stand in files of their own, named by the fields that end in \`File\`. For editors, \`schema.json\` is beside this page.`

export function inputSchema(schema: z.ZodType): Field {
  return z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any', reused: 'inline' }) as Field
}

function sections(root: Field): string[] {
  const [simple, structured] = [{}, {}] as [Record<string, Field>, Record<string, Field>]
  for (const [name, field] of Object.entries(root.properties ?? {})) {
    const target = rows('', field, false).length > 1 || field.oneOf !== undefined ? structured : simple
    target[name] = field
  }
  const required = root.required ?? []
  return [
    '## Top level',
    ...table(undefined, { properties: simple, required }),
    ...Object.entries(structured).flatMap(([name, field]) => section(name, field, required.includes(name))),
  ]
}

function section(name: string, field: Field, required: boolean): string[] {
  const head = [`## \`${name}\``, `${field.description ?? ''}${required ? ' Needed.' : ''}`]
  if (field.oneOf === undefined) return [...head, ...table(undefined, field, name)]
  const fallback = shown(field.default)
  const forms = field.oneOf.flatMap((form) => table(form.description, form, name))
  return [...head, ...(fallback === '' ? [] : [`Default: ${fallback}.`]), ...forms]
}

function table(title: string | undefined, field: Field, prefix = ''): string[] {
  const found = rows(prefix, field, false).filter(({ path }) => path !== prefix)
  const heading = title === undefined ? [] : [title]
  if (found.length === 0) return [...heading, 'There are no fields.']
  const lines = found.map(({ path, kind, fallback, text }) => `| \`${path}\` | ${kind} | ${fallback} | ${text} |`)
  return [...heading, ['| Field | Form | Default | What it does |', '| --- | --- | --- | --- |', ...lines].join('\n')]
}

interface Row {
  readonly path: string
  readonly kind: string
  readonly fallback: string
  readonly text: string
}

/** The field and those in it, depth first. */
function rows(path: string, field: Field, required: boolean): Row[] {
  const own: Row = {
    path,
    kind: cell(kindOf(field)),
    fallback: required ? 'needed' : cell(shown(field.default)),
    text: cell(field.description ?? ''),
  }
  const inner = Object.entries(field.properties ?? {}).flatMap(([name, child]) =>
    rows(path === '' ? name : `${path}.${name}`, child, field.required?.includes(name) === true),
  )
  return [
    own,
    ...inner,
    ...(field.oneOf ?? []).flatMap((form) => formRows(path, form)),
    ...repeated(`${path}.<name>`, field.additionalProperties),
    ...repeated(`${path}[]`, field.items),
  ]
}

/** One of several forms that a constant tells apart: a row for the form, then its other fields. */
function formRows(path: string, form: Field): Row[] {
  const [told, constant] =
    Object.entries(form.properties ?? {}).find(([, { const: value }]) => value !== undefined) ?? []
  if (told === undefined || constant === undefined) return []
  const text = [constant.description, form.description].filter((each) => each !== undefined).join(' ')
  const head = {
    path: `${path}: { ${told}: ${String(constant.const)} }`,
    kind: 'section',
    fallback: '',
    text: cell(text),
  }
  const others = Object.entries(form.properties ?? {}).filter(([name]) => name !== told)
  return [
    head,
    ...others.flatMap(([name, child]) => rows(`${path}.${name}`, child, form.required?.includes(name) === true)),
  ]
}

/** Entries of records and lists: only those that have fields of their own get rows. */
function repeated(path: string, entry: Field | boolean | undefined): Row[] {
  if (typeof entry !== 'object' || (entry.properties === undefined && entry.oneOf === undefined)) return []
  return rows(path, entry, false).slice(1)
}

function kindOf(field: Field): string {
  if (field.const !== undefined) return shown(field.const)
  if (field.enum !== undefined) return field.enum.map(shown).join(', ')
  switch (field.type) {
    case 'object':
      return field.properties === undefined ? 'entries by name' : 'section'
    case 'array':
      return `list of ${field.items?.properties === undefined ? kindOf(field.items ?? {}) : 'sections'}`
    case 'string':
      return 'text'
    case 'integer':
      return 'whole number'
    case 'boolean':
      return 'true, false'
    case undefined:
    default:
      return field.type ?? 'one of several forms'
  }
}

function shown(value: unknown): string {
  if (value === undefined || (typeof value === 'object' && Object.keys(value ?? {}).length === 0)) return ''
  return `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ')
}
