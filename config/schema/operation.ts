/** Access, audit, mails, logs and metrics. */
import { z } from 'zod'
import { duration, listenAddress } from '../units.ts'
import { plugin, secretFile } from './common.ts'

export const mail = z
  .strictObject({
    host: z.string().min(1).describe('The mail server.'),
    port: z.int().min(1).max(65_535).default(25).describe('Its port.'),
    tls: z
      .enum(['none', 'starttls', 'always'])
      .default('starttls')
      .describe('always: TLS from the first byte. starttls: it must offer TLS. none: a relay on this machine.'),
    user: z.string().optional().describe('The name to log in with. Absent: without a login.'),
    passwordFile: secretFile.optional(),
    from: z
      .string()
      .regex(/^[^\r\n]+@[^\r\n]+$/, 'must be an address')
      .describe('The sender, an address.'),
    administrators: z.array(z.email()).max(50).default([]).describe('Addresses that are told of requests for more.'),
  })
  .describe('Mails about requests, decisions and ends. Absent: none are sent.')
  .optional()

export const notify = z
  .strictObject({
    plugin,
    administrators: z.array(z.string().min(1).max(254)).max(50).default([]).describe('Who is told of requests.'),
  })
  .optional()
  .describe('A plug-in that hands messages on, in place of a mail server: give this or mail. Absent: mail does.')

export const log = z
  .strictObject({
    level: z.enum(['debug', 'info', 'warn', 'error']).default('info').describe('The least important lines to keep.'),
    pretty: z.boolean().optional().describe('Lines for people instead of JSON. Absent: when the output is a terminal.'),
  })
  .describe("The hub's own log, on standard error.")
  .prefault({})

export const metrics = z
  .strictObject({
    listen: listenAddress
      .optional()
      .describe(
        'Where the hub answers GET /metrics (Prometheus) and /health without a login: not public. Absent: only /hub/metrics, for the scope read:metrics.',
      ),
  })
  .describe('For monitoring.')
  .prefault({})

const conditions = {
  users: z.array(z.string()).min(1).optional().describe('Accounts, by their names here: it fits who is one of them.'),
  groups: z.array(z.string()).min(1).optional().describe('It fits who is in one of these groups.'),
  claims: z
    .record(z.string(), z.array(z.string()).min(1))
    .optional()
    .describe('Claims of the login service, each with the values that fit: a text, or one of a list of texts.'),
  proposals: z
    .union([z.literal('any'), z.array(z.string()).min(1)])
    .optional()
    .describe('It fits members of one of these proposals; any: of any proposal. The catalogue is asked each time.'),
}

export const access = z
  .strictObject({
    rules: z
      .array(
        z.strictObject({
          allow: z.boolean().describe('Whether those whom it fits may use this installation.'),
          ...conditions,
          reason: z.string().optional().describe('What those who are refused by it read.'),
        }),
      )
      .max(200)
      .default([])
      .describe('The first that fits decides. A rule fits when all of its conditions do.'),
    otherwise: z
      .enum(['allow', 'refuse'])
      .default('allow')
      .describe('For whom no rule fits. allow: everybody with an account.'),
    reason: z
      .string()
      .default('This installation is not open to you')
      .describe('What those read who are refused without a reason of a rule.'),
  })
  .describe('Who may use this installation. Asked at every login, launch and entry.')
  .prefault({})

export const audit = z
  .strictObject({
    keep: duration.prefault('730d').describe('Lines of the audit trail are deleted after this long.'),
    keepRefusals: duration
      .prefault('90d')
      .describe('Failed logins and other refusals are deleted after this long already.'),
    syslog: z
      .strictObject({
        to: z
          .string()
          .regex(
            /^(?:(?:udp|tcp):\/\/(?:[^\s/:@?#]+|\[[\da-f:]+\])(?::\d{1,5})?|unix:\/[^\s?#]+)$/i,
            'must be udp://host:514, tcp://host:601 or unix:/path (a stream socket)',
          )
          .describe(
            'Where each line is sent to as it is written: udp://host:514, tcp://host:601 (octet counting) or unix:/path (a stream socket; /dev/log is none).',
          ),
        facility: z
          .enum(['auth', 'authpriv', 'audit', 'local0', 'local1', 'local2', 'local3'])
          .default('authpriv')
          .describe('The facility of the messages (RFC 5424).'),
        hostname: z.string().max(255).optional().describe("The host that the messages name. Absent: this machine's."),
      })
      .optional()
      .describe('A syslog daemon that is told of every line. Absent: none; hutch audit export has them all.'),
  })
  .describe('The audit trail: who did what to whom, when, from where.')
  .prefault({})
