/** What came from outside, safe to print on one line: quoted, without control characters, at most 60 characters. */
export function plain(text: string): string {
  const short = text.length > 60 ? `${text.slice(0, 60)}…` : text
  // JSON leaves DEL, C1 controls and the line separators as they are.
  // oxlint-disable-next-line no-control-regex -- they are what is looked for
  return JSON.stringify(short).replaceAll(/[\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, '?')
}

/** 'a, b or c' */
export function either(words: readonly string[]): string {
  return words.length < 2 ? (words[0] ?? '') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`
}
