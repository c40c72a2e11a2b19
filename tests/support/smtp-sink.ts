/** A real mail server that keeps what it is given. It can be down, and can refuse. */
import { once } from 'node:events'
import { SMTPServer } from 'smtp-server'

export interface SmtpSink {
  readonly port: number
  /** Whole messages with their recipients, as they came. */
  readonly mails: readonly Readonly<{ to: readonly string[]; text: string }>[]
  /** Recipients that are refused for good. */
  readonly refused: Set<string>
  close(): Promise<void>
}

export async function smtpSink(port: number): Promise<SmtpSink> {
  const mails: { to: readonly string[]; text: string }[] = []
  const refused = new Set<string>()
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS', 'AUTH'],
    onRcptTo({ address }, _session, callback) {
      callback(refused.has(address) ? Object.assign(new Error('no such mailbox'), { responseCode: 550 }) : null)
    },
    onData(stream, session, callback) {
      const chunks: Buffer[] = []
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('end', () => {
        mails.push({
          to: session.envelope.rcptTo.map(({ address }) => address),
          text: Buffer.concat(chunks).toString(),
        })
        callback()
      })
    },
  })
  server.listen(port, '127.0.0.1')
  await once(server.server, 'listening')
  return {
    port,
    mails,
    refused,
    close: () => new Promise((resolve) => server.close(resolve)),
  }
}
