/**
 * A list's text, its items one by one: a page of a thousand pods is 8 MB, and all of them as objects at once are what
 * the garbage collector then spends more time on than the rest of a start takes. Pure.
 */

/** Calls `each` for each of `items` of the outermost object, and gives that object without them. */
export function readItems(text: string, each: (item: unknown) => void): unknown {
  const begin = beginOfItems(text)
  if (begin === undefined) return JSON.parse(text)
  let at = skipSpace(text, begin)
  while (text[at] !== ']') {
    const end = endOfValue(text, at)
    each(JSON.parse(text.slice(at, end)))
    at = skipSpace(text, end)
    if (text[at] === ']') break
    const next = skipSpace(text, at + 1)
    // The parser says what is wrong with it.
    if (text[at] !== ',' || text[next] === ']') return JSON.parse(text)
    at = next
  }
  return JSON.parse(text.slice(0, begin) + text.slice(at))
}

/** Behind the bracket of the outermost object's `items`; undefined: it has no such list. */
function beginOfItems(text: string): number | undefined {
  let at = skipSpace(text, 0)
  if (text[at] !== '{') return undefined
  at = skipSpace(text, at + 1)
  while (text[at] === '"') {
    const keyEnd = endOfText(text, at)
    const key = text.slice(at, keyEnd)
    at = skipSpace(text, keyEnd)
    if (text[at] !== ':') return undefined
    at = skipSpace(text, at + 1)
    if (key === '"items"' && text[at] === '[') return at + 1
    at = skipSpace(text, endOfValue(text, at))
    if (text[at] !== ',') return undefined
    at = skipSpace(text, at + 1)
  }
  return undefined
}

function endOfValue(text: string, from: number): number {
  let depth = 0
  let at = from
  while (at < text.length) {
    const code = text.codePointAt(at)
    if (code === quote) {
      at = endOfText(text, at)
      if (depth === 0) return at
      continue
    }
    if (code === brace || code === bracket) depth += 1
    else if (code === braceEnd || code === bracketEnd) {
      if (depth === 0) return at
      depth -= 1
      if (depth === 0) return at + 1
    } else if (depth === 0 && code === comma) return at
    at += 1
  }
  return at
}

/** Behind the closing quote. */
function endOfText(text: string, from: number): number {
  for (let at = text.indexOf('"', from + 1); at !== -1; at = text.indexOf('"', at + 1)) {
    let slashes = 0
    while (text[at - 1 - slashes] === '\\') slashes += 1
    if (slashes % 2 === 0) return at + 1
  }
  return text.length
}

function skipSpace(text: string, from: number): number {
  let at = from
  while (text[at] === ' ' || text[at] === '\n' || text[at] === '\r' || text[at] === '\t') at += 1
  return at
}

const [quote, comma, brace, braceEnd, bracket, bracketEnd] = [0x22, 0x2c, 0x7b, 0x7d, 0x5b, 0x5d] as const
