/** One subcommand of `hutch`, and what it may use of the world. */

export interface Terminal {
  /** Standard output: what was asked for, and nothing else. */
  print(text: string): void
  /** Standard error: progress, warnings, failures. */
  error(text: string): void
  /** Standard error: a line that the next one takes the place of, where people look on. */
  progress(text: string): void
  /** Whether people look at standard error. */
  readonly isTerminal: boolean
  /** The working directory: relative paths on the command line are relative to it. */
  readonly folder: string
}

export interface Command {
  readonly help: string
  /** The exit code. Throws what explain() in failure.ts can tell. */
  run(argv: readonly string[], terminal: Terminal): Promise<number>
}
