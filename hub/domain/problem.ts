/**
 * Errors are rows of one table (RFC 9457). `detail` is for the user and says what to do; `cause` is for the log.
 * Never match on messages: match on `type`.
 */
const problems = {
  badRequest: { status: 400, title: 'The request is not understood' },
  notLoggedIn: { status: 401, title: 'Log in first' },
  forbidden: { status: 403, title: 'This is not allowed' },
  foreignOrigin: { status: 403, title: 'The request came from another site' },
  notAuthorised: { status: 403, title: 'You are not authorised' },
  blocked: { status: 403, title: 'This account is blocked' },
  notFound: { status: 404, title: 'There is nothing here' },
  methodNotAllowed: { status: 405, title: 'This method is not allowed here' },
  conflict: { status: 409, title: 'This is not possible now' },
  tooLarge: { status: 413, title: 'The request is too large' },
  unknownHost: { status: 421, title: 'This host is not served here' },
  notEntitled: { status: 403, title: 'This proposal is not open to you' },
  overQuota: { status: 409, title: 'This is over your limit' },
  launchRefused: { status: 422, title: 'This can not be launched' },
  tooManyRequests: { status: 429, title: 'Too many requests' },
  loginFailed: { status: 403, title: 'The login did not succeed' },
  providerUnreachable: { status: 502, title: 'The login service does not answer' },
  catalogueUnreachable: { status: 503, title: 'The catalogue does not answer' },
  archiveUnreachable: { status: 503, title: 'The archive does not answer' },
  backendUnreachable: { status: 503, title: 'The computing service does not answer' },
  storeUnavailable: { status: 503, title: 'The hub can not reach its records' },
  internal: { status: 500, title: 'Something went wrong on our side' },
} as const

export type ProblemType = keyof typeof problems

export class Problem extends Error {
  override readonly name = 'Problem'
  readonly type: ProblemType
  /** For the user: one sentence, and what to do. */
  readonly detail: string
  /** The input field at fault, when there is one. */
  readonly field?: string
  /** Seconds, for Retry-After. */
  readonly retryAfter?: number
  constructor(
    type: ProblemType,
    detail: string,
    options: { cause?: unknown; field?: string; retryAfter?: number } = {},
  ) {
    super(`${type}: ${detail}`, { cause: options.cause })
    this.type = type
    this.detail = detail
    if (options.field !== undefined) this.field = options.field
    if (options.retryAfter !== undefined) this.retryAfter = options.retryAfter
  }
  get status(): number {
    return problems[this.type].status
  }
  get title(): string {
    return problems[this.type].title
  }
}
