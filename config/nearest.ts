/** The word that somebody probably meant, or undefined when none is near. Ties go to the first. */
export function nearest(wanted: string, known: readonly string[]): string | undefined {
  if (wanted.length > longestWord) return undefined
  const most = Math.max(1, Math.floor(wanted.length / 3))
  let best: { word: string; distance: number } | undefined
  for (const word of known) {
    const distance = editDistance(wanted.toLowerCase(), word.toLowerCase())
    if (distance <= most && distance < (best?.distance ?? Infinity)) best = { word, distance }
  }
  return best?.word
}

const longestWord = 60

/** Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours each count one. */
export function editDistance(a: string, b: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const substituted = (last[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      const swapped =
        i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? (beforeLast[j - 2] ?? 0) + 1 : Infinity
      row.push(Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, substituted, swapped))
    }
    beforeLast = last
    last = row
  }
  return last[b.length] ?? 0
}
