/** The encodings whose ends can be found without decoding them; whoever may only look gets no others. */

export const encodings = {
  raw: 0,
  copyRectangle: 1,
  tight: 7,
  desktopSize: -223,
  lastRectangle: -224,
  cursor: -239,
  desktopName: -307,
  extendedDesktopSize: -308,
  fence: -312,
  continuousUpdates: -313,
} as const

const known: ReadonlySet<number> = new Set(Object.values(encodings))

/** With the levels of quality and compression, which are wishes and no rectangles. */
export function isReadable(encoding: number): boolean {
  return known.has(encoding) || (encoding >= -32 && encoding <= -23) || (encoding >= -256 && encoding <= -247)
}

/** Extended mouse buttons: with them some pointer messages are longer, and which ones is between both sides. */
export function changesMessages(encoding: number): boolean {
  return encoding === -316
}
