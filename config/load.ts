/** Text → configuration. Every mistake at once, each with its place in the file; nothing else is ever thrown. */
import { open } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { z } from 'zod'
import { absolutePaths } from './absolute-paths.ts'
import { longestTextBytes, readDocument, type Place } from './document.ts'
import { readDraft } from './draft.ts'
import { checkFiles } from './files.ts'
import { ConfigurationError, fieldName, type Finding, type Mistake, type Path } from './mistake.ts'
import { checkRules } from './rules.ts'
import { configurationSchema, type Configuration, type ConfigurationInput } from './schema.ts'
import { checkPlugins, type ResolvePlugin } from './plugin-parts.ts'
import { checkSpawners, type SpawnerSchemas } from './spawner-parts.ts'
import { findings } from './words.ts'

export interface LoadOptions {
  /** The configuration file, YAML or JSON. */
  readonly file?: string
  /** The file's text, when it was read already; `file` then names it in mistakes and anchors relative paths. */
  readonly text?: string
  /** The configuration when there is neither file nor text. */
  readonly defaults: ConfigurationInput
  /** What the command line said: in place of what the file says. */
  readonly overrides?: Readonly<{ state?: string; listen?: string }>
  /** `type:` → the schemas of that spawner; throws an Error with one line when it can't be had. */
  readonly resolveSpawner: (type: string) => Promise<SpawnerSchemas>
  readonly resolvePlugin: ResolvePlugin
  /** Relative paths are relative to the file, and without a file to this folder. */
  readonly folder: string
}

export interface Loaded {
  readonly configuration: Configuration
  /** Lines like those of mistakes; they don't keep the hub from starting. */
  readonly warnings: readonly Mistake[]
}

/** Throws ConfigurationError, whatever the input, and nothing else. */
export async function loadConfiguration(options: LoadOptions): Promise<Loaded> {
  const name = options.file ?? (options.text === undefined ? 'the built-in configuration' : 'the configuration')
  const { value, place } = await read(options, name)
  const input = overridden(value, options.overrides ?? {})
  const folder = options.file === undefined ? options.folder : dirname(resolve(options.folder, options.file))
  const located = (finding: Finding): Mistake => locate(finding, name, place, options.overrides ?? {})

  const parsed = configurationSchema.safeParse(input)
  const draft = readDraft(input)
  const rules = checkRules(draft)
  const spawners = await checkSpawners(draft, (type) => options.resolveSpawner(absoluteType(type, folder)))
  const plugins = await checkPlugins(draft, folder, options.resolvePlugin)
  const mistakes = [
    ...findings(configurationSchema, input),
    ...rules.mistakes,
    ...spawners.mistakes,
    ...plugins.mistakes,
    ...(await checkFiles(absolutePaths(draft, folder))),
  ]
  if (!parsed.success || mistakes.length > 0) throw new ConfigurationError(sorted(mistakes.map(located)))
  const configuration = absolutePaths(plugins.complete(spawners.complete(parsed.data)), folder)
  return { configuration, warnings: sorted(rules.warnings.map(located)) }
}

interface Read {
  readonly value: unknown
  readonly place?: (path: Path, atKey?: boolean) => Place
}

async function read(options: LoadOptions, name: string): Promise<Read> {
  if (options.text === undefined && options.file === undefined) return { value: options.defaults }
  const text = options.text ?? (await readText(resolve(options.folder, options.file ?? ''), name))
  const document = readDocument(text)
  if ('mistakes' in document) {
    throw new ConfigurationError(document.mistakes.map((mistake) => ({ ...mistake, file: name, field: '' })))
  }
  if (document.value === null || document.value === undefined) {
    throw new ConfigurationError([{ file: name, field: '', message: 'is empty; see config/examples for a start' }])
  }
  return document
}

/** Reads one byte more than may be read, so that a device or a huge file ends in a mistake. */
async function readText(path: string, name: string): Promise<string> {
  try {
    const handle = await open(path, 'r')
    try {
      const buffer = Buffer.alloc(longestTextBytes + 1)
      let length = 0
      while (length < buffer.length) {
        const { bytesRead } = await handle.read(buffer, length, buffer.length - length)
        if (bytesRead === 0) break
        length += bytesRead
      }
      return buffer.toString('utf8', 0, length)
    } finally {
      await handle.close()
    }
  } catch (error) {
    throw new ConfigurationError([{ file: name, field: '', message: unreadable(error) }])
  }
}

function unreadable(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return 'there is no such file'
    case 'EISDIR':
      return 'is a folder; name the file in it'
    case 'EACCES':
    case 'EPERM':
      return 'may not be read by this account'
    case undefined:
    default:
      return `can't be read (${code ?? 'not a path'})`
  }
}

function overridden(value: unknown, overrides: NonNullable<LoadOptions['overrides']>): unknown {
  const isSection = z.record(z.string(), z.unknown()).safeParse(value).success
  const said = Object.entries(overrides).filter(([, text]) => text !== undefined)
  return isSection && said.length > 0 ? { ...(value as object), ...Object.fromEntries(said) } : value
}

function locate(finding: Finding, file: string, place: Read['place'], overrides: object): Mistake {
  const { path, message, atKey } = finding
  const field = fieldName(path)
  const option =
    path.length === 1 && Object.entries(overrides).some(([key, text]) => key === path[0] && text !== undefined)
  if (option) return { file: `--${path[0]}`, field: '', message }
  return place === undefined ? { file, field, message } : { file, ...place(path, atKey), field, message }
}

function sorted(mistakes: readonly Mistake[]): Mistake[] {
  return mistakes.toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0))
}

/** './ours.js' is beside the file; 'local' and package names stay as they are. */
function absoluteType(type: string, folder: string): string {
  return /^\.{0,2}\//.test(type) ? resolve(folder, type) : type
}
