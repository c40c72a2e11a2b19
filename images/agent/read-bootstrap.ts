/**
 * The check of agentBootstrapSchema written by hand: an agent runs once for each environment, and zod costs each
 * of them 12 MB. The schema stays the contract; a property test holds the two together.
 */
import { readFile } from 'node:fs/promises'
import type { AgentBootstrap } from './bootstrap.ts'

const longestBootstrapBytes = 1024 * 1024

/** `-` is standard input. @throws with one line that never quotes what was read: the key is in it. */
export async function readBootstrap(source: string): Promise<AgentBootstrap> {
  return checkBootstrap(await readJson(source))
}

/** `-` is standard input. @throws with one line that never quotes what was read. */
export async function readJson(source: string): Promise<unknown> {
  const text = source === '-' ? await readInput() : await readFile(source, 'utf8')
  try {
    return JSON.parse(text)
  } catch {
    // The parser's own message quotes the text, and with it the key.
    throw new Error('the bootstrap is not JSON')
  }
}

export function checkBootstrap(value: unknown): AgentBootstrap {
  const top = record(value, 'bootstrap', topFields)
  if (top['version'] !== 1) throw wrong('version', 'must be 1')
  const report = record(top['report'], 'report', ['host', 'port'])
  const listen = record(top['listen'], 'listen', ['host', 'ports'])
  const application = record(top['application'], 'application', applicationFields)
  const kind = text(application['kind'], 'application.kind')
  if (!isKind(kind)) throw wrong('application.kind', `must be one of ${kinds.join(', ')}`)
  return {
    version: 1,
    id: text(top['id'], 'id', /^[a-z][a-z0-9]{0,29}$/),
    key: text(top['key'], 'key', /^[A-Za-z0-9_-]{43}$/),
    report: { host: text(report['host'], 'report.host'), port: integer(report['port'], 'report.port', 1, 65_535) },
    listen: {
      host: text(listen['host'], 'listen.host'),
      ...(listen['ports'] === undefined ? {} : { ports: portRange(listen['ports']) }),
    },
    prefix: text(top['prefix'], 'prefix', /^\/.*\/$/),
    user: text(top['user'], 'user'),
    application: {
      kind,
      argv: list(application['argv'], 'application.argv').map((item) => text(item, 'application.argv')),
      readyPath: text(application['readyPath'], 'application.readyPath'),
      landingPath: text(application['landingPath'], 'application.landingPath'),
      ...optional('directory', application['directory'], 'application.directory'),
      ...(application['port'] === undefined
        ? {}
        : { port: integer(application['port'], 'application.port', 1, 65_535) }),
      ...(application['atRoot'] === undefined ? {} : { atRoot: truth(application['atRoot'], 'application.atRoot') }),
    },
    directories: list(top['directories'], 'directories', 256).map(directory),
    ...optional('socketFolder', top['socketFolder'], 'socketFolder'),
    ...(top['plain'] === undefined ? {} : { plain: plain(top['plain']) }),
    startTimeoutMs: integer(top['startTimeoutMs'], 'startTimeoutMs', 1),
    stopTimeoutMs: integer(top['stopTimeoutMs'], 'stopTimeoutMs', 1),
  }
}

const topFields =
  'version id key report listen prefix user application directories socketFolder plain startTimeoutMs stopTimeoutMs'.split(
    ' ',
  )
const applicationFields = ['kind', 'argv', 'readyPath', 'landingPath', 'directory', 'port', 'atRoot']

const kinds = ['notebook', 'terminal', 'desktop', 'web'] as const

function isKind(kind: string): kind is (typeof kinds)[number] {
  return kinds.some((known) => known === kind)
}

function directory(value: unknown): AgentBootstrap['directories'][number] {
  const fields = record(value, 'directories', ['name', 'path', 'readOnly'])
  const readOnly = truth(fields['readOnly'], 'directories.readOnly')
  return { name: text(fields['name'], 'directories.name'), path: text(fields['path'], 'directories.path'), readOnly }
}

function plain(value: unknown): NonNullable<AgentBootstrap['plain']> {
  const { variables } = record(value, 'plain', ['variables'])
  if (typeof variables !== 'object' || variables === null || Array.isArray(variables)) {
    throw wrong('plain.variables', 'must be an object')
  }
  const pairs = Object.entries(variables).map(([name, each]) => [name, text(each, 'plain.variables')] as const)
  return { variables: Object.fromEntries(pairs) }
}

function portRange(value: unknown): [number, number] {
  const [from, to, ...more] = list(value, 'listen.ports')
  if (more.length > 0) throw wrong('listen.ports', 'must be two numbers')
  return [integer(from, 'listen.ports'), integer(to, 'listen.ports')]
}

function record(value: unknown, name: string, known: readonly string[]): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong(name, 'must be an object')
  for (const key of Object.keys(value)) if (!known.includes(key)) throw wrong(name, 'has a field that is not known')
  return value as Record<string, unknown>
}

function text(value: unknown, name: string, pattern?: RegExp): string {
  if (typeof value !== 'string') throw wrong(name, 'must be text')
  if (pattern && !pattern.test(value)) throw wrong(name, `must match ${pattern.source}`)
  return value
}

function integer(value: unknown, name: string, least = Number.MIN_SAFE_INTEGER, most = Number.MAX_SAFE_INTEGER) {
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw wrong(name, 'must be a whole number')
  if (value < least || value > most) throw wrong(name, `must be from ${least} to ${most}`)
  return value
}

function truth(value: unknown, name: string): boolean {
  if (typeof value !== 'boolean') throw wrong(name, 'must be true or false')
  return value
}

function list(value: unknown, name: string, most = Infinity): unknown[] {
  if (!Array.isArray(value) || value.length > most) throw wrong(name, 'must be a list')
  return value
}

function optional<K extends string>(key: K, value: unknown, name: string): { [P in K]?: string } {
  return (value === undefined ? {} : { [key]: text(value, name) }) as { [P in K]?: string }
}

function wrong(name: string, what: string): Error {
  return new Error(`the bootstrap is wrong: ${name} ${what}`)
}

async function readInput(): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > longestBootstrapBytes) throw new Error('the bootstrap is too long')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}
