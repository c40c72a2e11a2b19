/** Somebody's text within a sentence: short, on one line, and in its own direction. */
export function quoted(text: string): string {
  const plain = text.replaceAll(/[\p{Cc}\p{Cs}\u202A-\u202E\u2066-\u2069]/gu, '\uFFFD')
  return `“${plain.length > 60 ? `${plain.slice(0, 60)}…` : plain}”`
}
