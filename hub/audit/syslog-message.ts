/** A line of the audit trail as a syslog message (RFC 5424). Pure. */
import type { AuditLine } from './entry.ts'

/** Section 6.2.1. */
const facilities = { auth: 4, authpriv: 10, audit: 13, local0: 16, local1: 17, local2: 18, local3: 19 } as const
const [notice, informational] = [5, 6]

export interface SyslogFields {
  readonly facility: keyof typeof facilities
  readonly hostname: string
}

/**
 * `<PRI>1 TIME HOST hutch - login.refused [hutch who=… …] {the line as JSON}`. The enterprise number of an example
 * (RFC 5612) marks names as our own.
 */
export function syslogMessage(line: AuditLine, { facility, hostname }: SyslogFields): string {
  const severity = line.did.endsWith('.refused') ? notice : informational
  const priority = facilities[facility] * 8 + severity
  const { id, who, did, toWhom, what, from } = line
  const parameters = Object.entries({ id: String(id), who, toWhom, what, from })
    .flatMap(([name, value]) => (value === undefined ? [] : [` ${name}="${escape(value)}"`]))
    .join('')
  const header = [`<${priority}>1`, line.at, word(hostname, 255), 'hutch', '-', word(did, 32)]
  // MSG in UTF-8 says so with a byte order mark (section 6.4).
  return `${header.join(' ')} [hutch@32473${parameters}] \uFEFF${JSON.stringify(line)}`
}

/** PRINTUSASCII, or the nil value. */
function word(text: string, longest: number): string {
  const printable = text.replaceAll(/[^!-~]/g, '').slice(0, longest)
  return printable === '' ? '-' : printable
}

/** Section 6.3.3: these three, with a backslash. */
const escape = (value: string): string => value.replaceAll(/[\\"\]]/g, '\\$&')
