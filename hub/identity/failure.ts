import { Problem } from '../domain/problem.ts'

/** Why a login was refused: for logs, metrics and tests. What the user reads is the problem's `detail`. */
export type FailureReason =
  | 'state'
  | 'repeatedParameter'
  | 'issuerMixUp'
  | 'cancelled'
  | 'providerRefused'
  | 'code'
  | 'clientCredentials'
  | 'tokenAnswer'
  | 'signature'
  | 'algorithm'
  | 'issuer'
  | 'audience'
  | 'authorizedParty'
  | 'expired'
  | 'nonce'
  | 'accessTokenHash'
  | 'subject'
  | 'userInfo'
  | 'userInfoSubject'
  | 'name'
  | 'nameTaken'
  | 'interaction'
  | 'otherPerson'
  | 'linkedElsewhere'
  | 'credentials'

/** A login that did not succeed. `cause` is for the log. */
export class LoginFailure extends Problem {
  readonly reason: FailureReason
  constructor(reason: FailureReason, detail: string, options: { cause?: unknown } = {}) {
    super('loginFailed', detail, options)
    this.reason = reason
  }
}
