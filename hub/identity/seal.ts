/** Tokens of login services in the store: encrypted (AES-256-GCM), each bound to the row that it belongs to. */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'

export interface Seal {
  seal(text: string, belongsTo: string): string
  /** Undefined: sealed with another key, for another row, or damaged. */
  open(sealed: string, belongsTo: string): string | undefined
}

const [ivBytes, tagBytes] = [12, 16]

/** `key`: 32 bytes. */
export function createSeal(key: Buffer): Seal {
  return {
    seal(text, belongsTo) {
      const iv = randomBytes(ivBytes)
      const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(belongsTo))
      const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
      return Buffer.concat([iv, cipher.getAuthTag(), sealed]).toString('base64url')
    },
    open(sealed, belongsTo) {
      const bytes = Buffer.from(sealed, 'base64url')
      if (bytes.length < ivBytes + tagBytes) return undefined
      const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, ivBytes))
        .setAAD(Buffer.from(belongsTo))
        .setAuthTag(bytes.subarray(ivBytes, ivBytes + tagBytes))
      try {
        return Buffer.concat([decipher.update(bytes.subarray(ivBytes + tagBytes)), decipher.final()]).toString()
      } catch {
        return undefined // as it says above
      }
    },
  }
}
