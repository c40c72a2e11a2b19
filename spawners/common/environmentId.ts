import { isEnvironmentId, type EnvironmentId } from '../spawner.ts'

/**
 * A maker of environment ids: 'e' and 12 of [a-z0-9], so 62 bits: made once, never looked up first.
 * `randomBytes` is the source of chance (crypto.randomBytes outside of tests).
 */
export function environmentId(randomBytes: (size: number) => Uint8Array): () => EnvironmentId {
  return () => {
    let text = 'e'
    while (text.length < 1 + length) {
      // Bytes from 252 on are thrown away: 252 is the last multiple of 36, and every character must be as likely.
      for (const byte of randomBytes(length)) if (byte < 252 && text.length <= length) text += alphabet[byte % 36]
    }
    if (!isEnvironmentId(text)) throw new Error(`a bug: ${text} is not an environment id`)
    return text
  }
}

const alphabet = 'abcdefghijklmnopqrstuvwxyz0123456789'
const length = 12
