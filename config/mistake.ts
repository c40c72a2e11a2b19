/** What is wrong with a configuration, one line for each mistake, all at once. */
import { plain } from './text.ts'

export type Path = readonly (string | number)[]

/** One finding, before it is known where in the file its field stands. */
export interface Finding {
  readonly path: Path
  /** What is wrong; remedy. */
  readonly message: string
  /** The field's key is at fault, not its value. */
  readonly atKey?: boolean
}

export interface Mistake {
  readonly file: string
  /** From 1; absent when it has no place in the file. */
  readonly line?: number
  readonly column?: number
  /** `profiles.jupyter.flavours[0]`; empty for the file as a whole. */
  readonly field: string
  readonly message: string
}

/** The configuration can't be used. The message holds every mistake, one line each. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError'
  readonly mistakes: readonly Mistake[]
  constructor(mistakes: readonly Mistake[]) {
    super(mistakes.map(mistakeLine).join('\n'))
    this.mistakes = mistakes
  }
}

/** `file:line:column  path.to.field: what is wrong; remedy` */
export function mistakeLine({ file, line, column, field, message }: Mistake): string {
  const place = line === undefined ? file : `${file}:${line}:${column ?? 1}`
  return `${place}  ${field === '' ? '' : `${field}: `}${message}`
}

export function fieldName(path: Path): string {
  let name = ''
  for (const segment of path) {
    if (typeof segment === 'number') name += `[${segment}]`
    else if (/^[\w-]{1,64}$/.test(segment)) name += name === '' ? segment : `.${segment}`
    else name += `[${plain(segment)}]`
  }
  return name
}
