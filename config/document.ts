/** YAML or JSON text → its value, and where each field stands. Never throws on any text. */
import { isAlias, isMap, isPair, isScalar, isSeq, LineCounter, parseDocument, type Document, type Node } from 'yaml'
import type { Path } from './mistake.ts'

export interface Place {
  readonly line: number
  readonly column: number
}

export interface ReadDocument {
  readonly value: unknown
  /** Where a field stands; the nearest enclosing one's place when it is absent itself. */
  place(path: Path, atKey?: boolean): Place
}

export interface SyntaxMistake extends Partial<Place> {
  readonly message: string
}

export const longestTextBytes = 2 ** 20
/** Aliases may repeat what they name this often in all; beyond it a small file could fill the memory. */
const mostAliases = 100

export function readDocument(text: string): ReadDocument | { mistakes: readonly SyntaxMistake[] } {
  if (Buffer.byteLength(text) > longestTextBytes) {
    return { mistakes: [{ message: `is larger than ${longestTextBytes} bytes; a configuration is a few pages` }] }
  }
  const lines = new LineCounter()
  try {
    // prettyErrors would print lines of the file, and with them what must stay secret.
    const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: 'error' })
    if (document.errors.length > 0) {
      return { mistakes: document.errors.map(({ pos, code }) => ({ message: says(code), ...placeOf(lines, pos[0]) })) }
    }
    const value: unknown = document.toJS({ maxAliasCount: mostAliases })
    return { value, place: (path, atKey) => placeOf(lines, offsetOf(document, path, atKey === true)) }
  } catch (error) {
    // The parser recurses, and counts aliases: both end in an exception of its own.
    const tooDeep = error instanceof RangeError
    return { mistakes: [{ message: tooDeep ? 'is nested too deeply' : 'repeats too much through aliases (*name)' }] }
  }
}

/** The parser's own messages quote the file; its codes do not. */
function says(code: string): string {
  switch (code) {
    case 'DUPLICATE_KEY':
      return 'this key stands here twice; keep one'
    case 'MULTIPLE_DOCS':
      return 'a second document begins here (---); a configuration is one'
    case 'TAB_AS_INDENT':
      return 'indents with a tab; YAML wants spaces'
    case 'BAD_INDENT':
    case 'MISSING_CHAR':
    case 'UNEXPECTED_TOKEN':
    case 'BLOCK_AS_IMPLICIT_KEY':
    case 'MULTILINE_IMPLICIT_KEY':
      return 'is not YAML; look at the indentation, colons and quotes here and in the line before'
    default:
      return `is not YAML (${code.toLowerCase().replaceAll('_', ' ')})`
  }
}

function placeOf(lines: LineCounter, offset: number): Place {
  const { line, col } = lines.linePos(offset)
  return { line: Math.max(1, line), column: Math.max(1, col) }
}

/** The start of the value, or of the key when the value is absent, empty or asked for so. */
function offsetOf(document: Document, path: Path, atKey: boolean): number {
  let node: unknown = document.contents
  let offset = 0
  for (const [depth, segment] of path.entries()) {
    const known = isAlias(node) ? node.resolve(document) : node
    if (isMap(known)) {
      const pair = known.items.find(({ key }) => String(isScalar(key) ? key.value : key) === String(segment))
      if (!isPair(pair)) return offset
      offset = startOf(pair.key) ?? offset
      node = pair.value
    } else if (isSeq(known)) {
      node = known.items[Number(segment)]
    } else return offset
    const isLast = depth === path.length - 1
    if (!(isLast && atKey) && !isEmpty(node)) offset = startOf(node) ?? offset
  }
  return offset
}

function isEmpty(node: unknown): boolean {
  return isScalar(node) && node.value === null && (node.source ?? '') === ''
}

function startOf(node: unknown): number | undefined {
  return (node as Node | null)?.range?.[0]
}
