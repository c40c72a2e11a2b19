/** One word for a POSIX shell, whatever is in it but NUL. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
