/** Heads of HTTP/1.1 messages, read strictly: what two servers could read differently is refused (RFC 9112). */

/** Three lists of equal length: as written, in lower case, and the value without surrounding blanks. */
export interface Fields {
  readonly raw: string[]
  readonly names: string[]
  readonly values: string[]
}

export interface RequestHead extends Fields {
  readonly method: string
  readonly target: string
  /** The n of HTTP/1.n. */
  readonly minor: 0 | 1
}

export interface ResponseHead extends Fields {
  readonly status: number
  readonly reason: string
  readonly minor: 0 | 1
}

/** A message that is refused; `status` is what a client is told, an upstream's mistake is always 502. */
export class MessageError extends Error {
  override readonly name = 'MessageError'
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

const mostFields = 200
const headEnd = Buffer.from('\r\n\r\n')
// RFC 9110 5.6.2
const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$/
// Control characters, and line ends that are not CRLF.
const forbidden = /[^\t\r\n\x20-\x7e\x80-\xff]|\r(?!\n)|(?<!\r)\n/

/** Where the head ends (after its empty line), or -1 when it is not whole yet. */
export function headLength(bytes: Buffer): number {
  const at = bytes.indexOf(headEnd)
  return at === -1 ? -1 : at + 4
}

/** `bytes` are the head with its empty line. Throws MessageError. */
export function parseRequestHead(bytes: Buffer, length: number): RequestHead {
  const text = readText(bytes, length)
  const lineEnd = firstLine(text)
  const line = /^([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([\x21-\x7e]+) HTTP\/(\d)\.(\d)$/.exec(text.slice(0, lineEnd))
  if (line === null) throw new MessageError(400, 'the request line is not understood')
  const [, method = '', target = '', major, minor] = line
  if (major !== '1' || (minor !== '0' && minor !== '1')) throw new MessageError(505, 'only HTTP/1.1 is spoken here')
  return { method, target, minor: minor === '1' ? 1 : 0, ...parseFields(text, lineEnd + 2) }
}

/** `bytes` are the head with its empty line. Throws MessageError. */
export function parseResponseHead(bytes: Buffer, length: number): ResponseHead {
  const text = readText(bytes, length)
  const lineEnd = firstLine(text)
  const line = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: ([\t\x20-\x7e\x80-\xff]*))?$/.exec(text.slice(0, lineEnd))
  if (line === null) throw new MessageError(502, 'the status line is not understood')
  return {
    minor: line[1] === '1' ? 1 : 0,
    status: Number(line[2]),
    reason: line[3] ?? '',
    ...parseFields(text, lineEnd + 2),
  }
}

/** The value of a field that may stand once; throws MessageError when it stands twice. */
export function single(fields: Fields, name: string): string | undefined {
  const at = fields.names.indexOf(name)
  if (at === -1) return undefined
  if (fields.names.includes(name, at + 1)) throw new MessageError(400, `the field ${name} stands twice`)
  return fields.values[at]
}

/** All values of a field as one list. */
export function joined(fields: Fields, name: string, separator = ', '): string | undefined {
  let all: string | undefined
  for (let at = fields.names.indexOf(name); at !== -1; at = fields.names.indexOf(name, at + 1)) {
    all = all === undefined ? fields.values[at] : `${all}${separator}${fields.values[at]}`
  }
  return all
}

/** Whether a list such as Connection or Transfer-Encoding names `wanted` (lower case). */
export function lists(value: string | undefined, wanted: string): boolean {
  if (value === undefined) return false
  const lower = value.toLowerCase()
  return lower === wanted || lower.split(',').some((item) => item.trim() === wanted)
}

/** One `name: value` line, as a trailer has it. Throws MessageError. */
export function parseFieldLine(line: string): { name: string; value: string } {
  if (forbidden.test(line)) throw new MessageError(400, 'a field holds a control character')
  const { names, values } = parseFields(line, 0)
  return { name: names[0] ?? '', value: values[0] ?? '' }
}

function readText(bytes: Buffer, length: number): string {
  const text = bytes.toString('latin1', 0, length - 4)
  if (forbidden.test(text)) throw new MessageError(400, 'the head holds a control character or a bare line end')
  return text
}

function firstLine(text: string): number {
  const end = text.indexOf('\r\n')
  return end === -1 ? text.length : end
}

function parseFields(text: string, from: number): Fields {
  const fields: Fields = { raw: [], names: [], values: [] }
  let at = from
  while (at < text.length) {
    const found = text.indexOf('\r\n', at)
    const end = found === -1 ? text.length : found
    const colon = text.indexOf(':', at)
    // A line that begins with a blank (obs-fold) or has one before its colon fails as a token.
    if (colon <= at || colon >= end) throw new MessageError(400, 'a field has no name')
    const raw = text.slice(at, colon)
    fields.raw.push(raw)
    fields.names.push(lowerName(raw))
    fields.values.push(trimmed(text, colon + 1, end))
    if (fields.names.length > mostFields) throw new MessageError(431, `there are more than ${mostFields} fields`)
    at = end + 2
  }
  return fields
}

function lowerName(raw: string): string {
  const known = knownNames.get(raw)
  if (known !== undefined) return known
  if (!token.test(raw)) throw new MessageError(400, 'the name of a field is not a token')
  return raw.toLowerCase()
}

function trimmed(text: string, from: number, to: number): string {
  let start = from
  let end = to
  while (start < end && isBlank(text.charCodeAt(start))) start += 1
  while (end > start && isBlank(text.charCodeAt(end - 1))) end -= 1
  return text.slice(start, end)
}

function isBlank(code: number): boolean {
  return code === 32 || code === 9
}

// Most heads consist of these alone: looked up as written, they need neither a check nor a lower-case copy.
const knownNames: ReadonlyMap<string, string> = new Map(
  (
    'Accept Accept-Encoding Accept-Language Accept-Ranges Age Authorization Cache-Control Connection Content-Encoding ' +
    'Content-Length Content-Security-Policy Content-Type Cookie Date ETag Expires Host If-Modified-Since If-None-Match ' +
    'Keep-Alive Last-Modified Location Origin Pragma Range Referer Sec-Fetch-Dest Sec-Fetch-Mode Sec-Fetch-Site ' +
    'Sec-Fetch-User Sec-WebSocket-Extensions Sec-WebSocket-Key Sec-WebSocket-Protocol Sec-WebSocket-Version Server ' +
    'Set-Cookie Transfer-Encoding Upgrade Upgrade-Insecure-Requests User-Agent Vary X-Content-Type-Options ' +
    'X-Request-Id X-XSRFToken sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform'
  )
    .split(' ')
    .flatMap((name): [string, string][] => [
      [name, name.toLowerCase()],
      [name.toLowerCase(), name.toLowerCase()],
    ]),
)
