/**
 * What a command printed → rows of columns. Anybody may give a job any name, so nothing that a name can hold may end
 * a column or begin a row. Pure.
 */
import type { JobsFormat } from './template.ts'

export type Row = ReadonlyMap<string, string>

/** @throws when it is not what the format says. */
export function rowsOf(text: string, format: JobsFormat['rows'], mark: string): readonly Row[] {
  switch (format.as) {
    case 'marked':
      return marked(text, format.columns, mark)
    case 'json':
      return json(text, format.at)
    case 'xml':
      return xml(text, format.element)
    case 'paragraphs':
      return paragraphs(text)
  }
}

/** Nobody knows the mark of a call before it is made: newlines and other columns' separators in a name do nothing. */
export function marked(text: string, columns: readonly string[], mark: string): readonly Row[] {
  const parts = text.split(mark)
  const rest = parts.pop() ?? ''
  if (rest.trim() !== '' || parts.length % columns.length !== 0) throw new Error('the list is not in its columns')
  const rows: Row[] = []
  for (let at = 0; at < parts.length; at += columns.length) {
    const values = parts.slice(at, at + columns.length)
    // The newline after the row before.
    values[0] = (values[0] ?? '').replace(/^\n/, '')
    rows.push(new Map(columns.map((column, index) => [column, (values[index] ?? '').trim()])))
  }
  return rows
}

/** Below what is nested the columns' names are joined by dots. */
function json(text: string, at: readonly string[]): readonly Row[] {
  if (text.trim() === '') return []
  let value: unknown = JSON.parse(text)
  for (const step of at) value = (value as Record<string, unknown> | undefined)?.[step]
  if (value === undefined) return []
  const jobs: readonly (readonly [key: string, job: unknown])[] = Array.isArray(value)
    ? value.map((job) => ['', job])
    : Object.entries(value as object)
  return jobs.map(([key, job]) => new Map([['key', key], ...flat('', job)]))
}

const deepest = 5

function flat(prefix: string, value: unknown, depth = 0): readonly (readonly [string, string])[] {
  if (value === null || value === undefined) return []
  if (typeof value !== 'object') return [[prefix, typeof value === 'string' ? value : JSON.stringify(value)]]
  if (depth === deepest) return []
  return Object.entries(value).flatMap(([name, each]) =>
    flat(prefix === '' ? name : `${prefix}.${name}`, each, depth + 1),
  )
}

/** Of each element the texts in it. A text that looks like an element of its own was not escaped: that row is nobody's. */
function xml(text: string, element: string): readonly Row[] {
  const whole = new RegExp(`<${element}(?:\\s[^>]*)?>(.*?)</${element}>`, 'gs')
  return [...text.matchAll(whole)].flatMap(([, inside = '']) => {
    const row = new Map<string, string>()
    for (const [, name = '', value = ''] of inside.matchAll(/<(\w+)(?:\s[^>]*)?>([^<]*)<\/\1>/g)) {
      if (row.has(name)) return []
      row.set(name, unescaped(value).trim())
    }
    return [row]
  })
}

const entities: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" }

function unescaped(text: string): string {
  return text.replaceAll(/&(\w+);/g, (all, name: string) => entities[name] ?? all)
}

/** A line is a name, spaces and a value. Only for what can't have a newline in it. */
function paragraphs(text: string): readonly Row[] {
  return text
    .split(/^==+\s*$/m)
    .map((part) => new Map(part.split('\n').flatMap(pair)))
    .filter((row) => row.size > 0)
}

function pair(line: string): readonly (readonly [string, string])[] {
  const [, name, value = ''] = /^(\S+)\s+(.*)$/.exec(line) ?? []
  return name === undefined ? [] : [[name, value.trim()]]
}
