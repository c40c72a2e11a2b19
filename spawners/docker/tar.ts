/** The little of tar (POSIX ustar) that Docker's archives of a few small files take. Pure. */

export interface TarFile {
  readonly name: string
  readonly text: string
  readonly mode: number
  readonly uid: number
  readonly gid: number
}

const block = 512

export function tarOf(files: readonly TarFile[]): Buffer {
  const parts = files.flatMap((file) => {
    const content = Buffer.from(file.text)
    return [header(file, content.length), content, Buffer.alloc(-content.length & (block - 1))]
  })
  return Buffer.concat([...parts, Buffer.alloc(2 * block)])
}

/** The first regular file's text; undefined: there is none. */
export function firstFile(archive: Buffer): string | undefined {
  for (let at = 0; at + block <= archive.length;) {
    const head = archive.subarray(at, at + block)
    if (head[0] === 0) return undefined
    const size = Number.parseInt(head.toString('latin1', 124, 136).replaceAll('\0', ' ').trim(), 8)
    const isFile = head[156] === 0 || head[156] === '0'.charCodeAt(0)
    if (!Number.isSafeInteger(size)) return undefined
    if (isFile) return archive.toString('utf8', at + block, at + block + size)
    at += block + Math.ceil(size / block) * block
  }
  return undefined
}

function header({ name, mode, uid, gid }: TarFile, size: number): Buffer {
  const head = Buffer.alloc(block)
  const octal = (value: number, at: number, length: number): void => {
    head.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at, 'latin1')
  }
  head.write(name, 0, 100, 'utf8')
  octal(mode, 100, 8)
  number(head, uid, 108)
  number(head, gid, 116)
  octal(size, 124, 12)
  octal(0, 136, 12)
  head.write('        0', 148, 'latin1')
  head.write('ustar\x0000', 257, 'latin1')
  octal(
    head.reduce((sum, byte) => sum + byte, 0),
    148,
    7,
  )
  head.write(' ', 155, 'latin1')
  return head
}

/** Numbers beyond seven octal digits are written in base 256, as GNU tar does. */
function number(head: Buffer, value: number, at: number): void {
  if (value < 8 ** 7) {
    head.write(`${value.toString(8).padStart(7, '0')}\0`, at, 'latin1')
    return
  }
  head.writeUInt32BE(value, at + 4)
  head[at] = 0x80
}
