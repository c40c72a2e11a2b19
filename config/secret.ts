/** Secrets live in files of their own, so that a configuration can be shown to anybody. */
import { open } from 'node:fs/promises'

const longestSecretBytes = 65_536

/** Why a secret file is refused: what is wrong; remedy. Never the path, which may be the secret itself by mistake. */
export class SecretFileError extends Error {
  override readonly name = 'SecretFileError'
}

/** The secret without the white space around it. Throws SecretFileError. */
export async function readSecretFile(path: string): Promise<string> {
  const text = await readPrivate(path)
  const secret = text.trim()
  if (secret === '') throw new SecretFileError('the file is empty; write the secret into it')
  return secret
}

async function readPrivate(path: string): Promise<string> {
  const handle = await open(path, 'r').catch((cause: unknown) => {
    throw new SecretFileError(reason(cause), { cause })
  })
  try {
    const { mode, size } = await handle.stat()
    if ((mode & fileTypeMask) !== regularFile) throw new SecretFileError('this is not a file; name the file itself')
    if ((mode & othersMayRead) !== 0) throw new SecretFileError('everybody on this machine can read it; chmod 600 it')
    if (size > longestSecretBytes) throw new SecretFileError(`the file is larger than ${longestSecretBytes} bytes`)
    return await handle.readFile('utf8')
  } finally {
    await handle.close()
  }
}

const fileTypeMask = 0o170_000
const regularFile = 0o100_000
const othersMayRead = 0o006

function reason(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return 'there is no such file; write the secret into a file of its own and give its path'
    case 'EACCES':
    case 'EPERM':
      return 'the hub may not read it; give it to the account that the hub runs as'
    case undefined:
    default:
      return `it can't be read (${code ?? 'not a path'}); write the secret into a file of its own and give its path`
  }
}
