/** Random secrets that are shown once and stored as hashes. 256 random bits need no salt and no slow hash. */
import { createHash, randomBytes } from 'node:crypto'

export const newSecret = (): string => randomBytes(32).toString('base64url')

export const hashSecret = (secret: string): string => createHash('sha256').update(secret).digest('base64url')
