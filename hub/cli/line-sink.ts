/** The log's lines to a stream whose reader may be slow, stopped or gone: the hub goes on, and says what is missing. */
import type { Writable } from 'node:stream'

/** Some thousand lines, which are written as soon as somebody reads. */
const mostUnreadBytes = 1024 * 1024

/** What is beyond them is left out; `missing` makes the line that says how many. */
export function lineSink(
  stream: Pick<Writable, 'write' | 'writableLength' | 'on'>,
  missing: (count: number) => string,
): { write(line: string): void } {
  let count = 0
  // Whoever read it has gone away: that ends nothing.
  stream.on('error', () => undefined)
  return {
    write(line) {
      if (stream.writableLength + line.length > mostUnreadBytes) {
        count += 1
        return
      }
      if (count > 0) stream.write(missing(count))
      count = 0
      stream.write(line)
    },
  }
}
