/** The demo provider's signing key and cookie key, kept over restarts. */
import { randomBytes } from 'node:crypto'
import { exportJWK, generateKeyPair } from 'jose'
import { z } from 'zod'
import { keptInFile } from './private-file.ts'

const keysSchema = z.object({
  signing: z.looseObject({ kty: z.string(), kid: z.string(), d: z.string() }),
  cookies: z.string().min(32),
})
export type DemoKeys = z.infer<typeof keysSchema>

export function loadKeys(path: string): Promise<DemoKeys> {
  return keptInFile(path, keysSchema, async () => {
    const { privateKey } = await generateKeyPair('ES256', { extractable: true })
    const { kty = 'EC', d = '', ...rest } = await exportJWK(privateKey)
    const kid = randomBytes(8).toString('hex')
    return {
      signing: { ...rest, kty, d, kid, use: 'sig', alg: 'ES256' },
      cookies: randomBytes(32).toString('base64url'),
    }
  })
}
