/** The mail server, by nodemailer. */
import { createHash } from 'node:crypto'
import { createTransport } from 'nodemailer'
import type { Configuration } from '../../config/schema.ts'
import type { Send, SendResult } from './index.ts'

const timeoutMs = 20_000

/** @param password for `user`, when there is one. */
export function createSmtp(mail: NonNullable<Configuration['mail']>, password: string | undefined): Send {
  const { host, port, tls, user, from } = mail
  const transport = createTransport({
    host,
    port,
    secure: tls === 'always',
    requireTLS: tls === 'starttls',
    ignoreTLS: tls === 'none',
    ...(user === undefined ? {} : { auth: { user, pass: password ?? '' } }),
    connectionTimeout: timeoutMs,
    greetingTimeout: timeoutMs,
    socketTimeout: timeoutMs,
    // Nothing in a mail may make this process open a file or an address.
    disableFileAccess: true,
    disableUrlAccess: true,
  })
  const domain = from.slice(from.lastIndexOf('@') + 1).replace(/>$/, '')
  return async ({ id, to, subject, text }): Promise<SendResult> => {
    const messageId = `<${createHash('sha256').update(id).digest('hex').slice(0, 32)}@${domain}>`
    try {
      await transport.sendMail({ from, to, subject, text, messageId, headers: { 'Auto-Submitted': 'auto-generated' } })
      return { is: 'sent' }
    } catch (error) {
      const { responseCode = 0, message } = error as Error & { responseCode?: number }
      // What the server refuses for good is this mail; everything else may be the server.
      return { is: 'failed', message, permanent: responseCode >= 550 && responseCode < 555 }
    }
  }
}
