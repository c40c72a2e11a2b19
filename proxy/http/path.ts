/** Request targets and paths, read one way alone: what a server behind could resolve elsewhere is refused. */
import { MessageError } from './head.ts'

export interface Target {
  /** Begins with a slash, as it was sent. */
  readonly path: string
  /** With its question mark, or empty. */
  readonly query: string
  /** The authority of an absolute-form target. */
  readonly authority?: string
}

/** Origin form, and absolute form as RFC 9112 3.2.2 wants. Throws MessageError. */
export function parseTarget(target: string): Target {
  const absolute = /^https?:\/\/([^/?#]+)(.*)$/i.exec(target)
  const rest = absolute?.[2] ?? target
  if (rest.includes('#')) throw new MessageError(400, 'a request target has no fragment')
  const question = rest.indexOf('?')
  const query = question === -1 ? '' : rest.slice(question)
  const path = (question === -1 ? rest : rest.slice(0, question)) || (absolute === null ? '' : '/')
  if (!path.startsWith('/')) throw new MessageError(400, 'the request target is not a path')
  return { path, query, ...(absolute?.[1] === undefined ? {} : { authority: absolute[1] }) }
}

/**
 * True when no server behind can read the path as another one: no dot segments, in clear or encoded, with encoded
 * separators too; no NUL, no backslash. Browsers resolve dot segments before they send.
 */
export function isPlainPath(path: string): boolean {
  if (!/[%\\]|\/\./.test(path)) return true
  if (/\\|%00|%(?![0-9A-Fa-f]{2})/.test(path)) return false
  const decoded = path.replaceAll(/%2e/gi, '.').replaceAll(/%2f|%5c/gi, '/')
  // A server that knows path parameters reads "..;x" as "..".
  return !/(?:^|\/)\.\.?(?:[/;]|%3b|$)/i.test(decoded)
}

/** `next` when it is a path that stays below the prefix in every browser's reading; else undefined. */
export function pathBelow(prefix: string, next: string): string | undefined {
  if (next.length > longestNext || !next.startsWith(prefix) || !/^[\x21-\x7e]+$/.test(next)) return undefined
  const end = next.search(/[?#]/)
  return isPlainPath(end === -1 ? next : next.slice(0, end)) ? next : undefined
}

const longestNext = 8_192
