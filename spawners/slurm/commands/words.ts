/** A template's words with their values, as argv. Nothing of it is read by a shell. Pure. */
import { LaunchRefused } from '../../spawner.ts'
import { namesIn, type Template, type Word } from './template.ts'

export type Values = Readonly<Record<string, string | number | undefined>>

/** @throws LaunchRefused when a value can't be written in this system. */
export function argvOf(
  words: readonly Word[],
  values: Values,
  { escapes = {}, forbidden = {} }: Partial<Pick<Template, 'escapes' | 'forbidden'>> = {},
): readonly string[] {
  const written = new Map<string, string>()
  const write = (name: string): string => {
    const known = written.get(name)
    if (known !== undefined) return known
    const text = escaped(name, String(values[name]), { escapes, forbidden })
    written.set(name, text)
    return text
  }
  return words.flatMap((each) => {
    if (namesIn(each).some((name) => values[name] === undefined)) return []
    return (typeof each === 'string' ? [each] : each).map((word) => filled(word, write))
  })
}

/** All in one pass: what a value says in braces is its own. */
function filled(word: string, write: (name: string) => string): string {
  const text = word.replaceAll(/\{([A-Za-z]+)\}/g, (_, name: string) => write(name))
  // A value must not become an option.
  if (text.startsWith('-') && !word.startsWith('-')) throw new LaunchRefused(`${text} begins like an option.`)
  return text
}

function escaped(name: string, value: string, { escapes, forbidden }: Pick<Template, 'escapes' | 'forbidden'>): string {
  const never = (forbidden as Readonly<Record<string, string | undefined>>)[name] ?? ''
  const bad = Array.from(value).find(
    (character) => character < ' ' || character === '\u007f' || never.includes(character),
  )
  if (bad !== undefined) {
    throw new LaunchRefused(`${name} can't have ${JSON.stringify(bad)} in it here: ${value}. Ask your administrator.`)
  }
  const replaced = (escapes as Readonly<Record<string, Readonly<Record<string, string>> | undefined>>)[name] ?? {}
  return Array.from(value, (character) => replaced[character] ?? character).join('')
}
