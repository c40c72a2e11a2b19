/** Command lines: what was wrong with one, and what was probably meant. */
import { parseArgs, type ParseArgsOptionsConfig } from 'node:util'
import { nearest } from '../../config/nearest.ts'
import { plain } from '../../config/text.ts'

/** The command line is wrong; exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** parseArgs, strict, with errors that say what is there. `command` is for the remedy: 'hutch start'. */
export function readArguments<T extends ParseArgsOptionsConfig>(
  command: string,
  argv: readonly string[],
  options: T,
  { positionals = 0 }: Readonly<{ positionals?: number }> = {},
) {
  try {
    const parsed = parseArgs({ args: [...argv], options, allowPositionals: true, strict: true })
    const surplus = parsed.positionals[positionals]
    if (surplus !== undefined) throw new UsageError(`${plain(surplus)} is one argument too many; see ${command} --help`)
    return parsed
  } catch (error) {
    if (error instanceof UsageError) throw error
    throw new UsageError(`${why(error, argv, Object.keys(options))}; see ${command} --help`, { cause: error })
  }
}

function why(error: unknown, argv: readonly string[], known: readonly string[]): string {
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION') {
    const options = argv
      .filter((argument) => argument.startsWith('-'))
      .map((argument) => argument.split('=', 1)[0] ?? '')
    const wrong = options.find((option) => !known.includes(option.replace(/^--/, ''))) ?? ''
    const meant = nearest(wrong.replace(/^-+/, ''), known)
    return `there is no option ${plain(wrong)}${meant === undefined ? '' : `; did you mean --${meant}?`}`
  }
  return message.split(/[.\n]/, 1)[0] ?? message
}

export function required<T>(command: string, option: string, value: T | undefined): T {
  if (value === undefined) throw new UsageError(`--${option} is missing; see ${command} --help`)
  return value
}
