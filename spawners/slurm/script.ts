/**
 * A job's script. SLURM keeps scripts, so this holds no secret but the claim: a key that is good once, for a few
 * minutes from the job's start, on the job's own node. Where everybody may read scripts the claim is in a file. Pure.
 */
import { quoted } from '../common/quoted.ts'

export interface ScriptParts {
  /** '/bin/bash -l' */
  readonly shell: string
  readonly umask: string
  /** HOME and its kin too. */
  readonly variables: Readonly<Record<string, string>>
  readonly prolog: readonly string[]
  readonly container: ContainerLines
  /** What the agent reads on its standard input: a text, or a file that its user alone reads, and that is good once. */
  readonly claim: Readonly<{ text: string }> | Readonly<{ file: string }>
}

/** What comes before the agent, and the agent as it is seen from there. */
export interface ContainerLines {
  /** Lines before: they may set arrays. */
  readonly before: readonly string[]
  /** The command, quoted where it must be. */
  readonly command: string
  /** Texts on further file descriptors, by their number. */
  readonly texts: Readonly<Record<number, string>>
}

export function jobScript({ shell, umask, variables, prolog, container, claim }: ScriptParts): string {
  const texts = Object.entries({ ...('text' in claim ? { 0: `${claim.text}\n` } : {}), ...container.texts })
  const redirections = texts.map(([fd]) => `${fd}<<'${mark(fd)}'`).join(' ')
  return [
    `#!${shell}`,
    `umask ${umask}`,
    ...Object.entries(variables).map(([name, value]) => `export ${name}=${quoted(value)}`),
    'cd "$HOME" || { echo "hutch: your home directory $HOME is not on this node ($(hostname))" >&2; exit 126; }',
    ...prolog,
    ...container.before,
    ...('file' in claim
      ? [
          `exec <${quoted(claim.file)} || { echo "hutch: its key is not on this node" >&2; exit 126; }`,
          `rm -f ${quoted(claim.file)}`,
        ]
      : []),
    `exec ${container.command} ${redirections}`,
    ...texts.flatMap(([fd, text]) => [checked(text, mark(fd)), mark(fd)]),
    '',
  ].join('\n')
}

function mark(fd: string): string {
  return `hutch-end-of-${fd}`
}

/** Without its last newline. A line that ends the text early would begin a command. */
function checked(text: string, end: string): string {
  const body = text.replace(/\n$/, '')
  if (body.split('\n').includes(end)) throw new Error(`a bug: ${end} is in the text that it ends`)
  return body
}
