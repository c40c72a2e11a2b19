/** UserInfo (OpenID Connect Core 1.0, section 5.3): some providers put name and e-mail there alone. */
import { z } from 'zod'
import { untrusted } from './id-token.ts'
import type { Provider } from './provider.ts'

const userInfoSchema = z.looseObject({ sub: z.string() })

/** Its claims. Throws LoginFailure when it is not JSON or speaks of somebody else (section 5.3.4). */
export async function askUserInfo(
  provider: Provider,
  url: string,
  accessToken: string,
  subject: string,
): Promise<Record<string, unknown>> {
  const answer = await provider.ask(url, {
    headers: { authorization: `Bearer ${accessToken}`, accept: 'application/json' },
  })
  const refuse = (cause: unknown) => untrusted(provider.title, 'userInfo', cause)
  if (answer.status !== 200) throw refuse(new Error(`UserInfo answered ${answer.status}`))
  let json: unknown
  try {
    json = JSON.parse(answer.text)
  } catch (cause) {
    throw refuse(cause)
  }
  const info = userInfoSchema.safeParse(json)
  if (!info.success) throw refuse(info.error)
  if (info.data.sub !== subject) {
    throw untrusted(provider.title, 'userInfoSubject', new Error('UserInfo speaks of another sub than the ID token'))
  }
  return info.data
}
