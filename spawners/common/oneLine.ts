/** What a backend says, for pages: one line, no control characters, no full stop at its end, at most 500 characters. */
export function oneLine(text: string): string {
  return text
    .replaceAll(/\p{Cc}+/gu, ' ')
    .trim()
    .replace(/\.$/, '')
    .slice(0, 500)
}
