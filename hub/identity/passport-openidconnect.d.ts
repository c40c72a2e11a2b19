/** What Hutch uses of passport-openidconnect 0.1.2, which ships no types (those of DefinitelyTyped need Express). */
declare module 'passport-openidconnect' {
  export interface StateStore {
    store(
      req: unknown,
      context: { nonce?: string },
      appState: unknown,
      meta: unknown,
      done: (error: unknown, handle?: string) => void,
    ): void
    verify(req: unknown, handle: string, done: (error: unknown, context?: { nonce?: string } | false) => void): void
  }

  export interface Options {
    issuer: string
    authorizationURL: string
    tokenURL: string
    clientID: string
    clientSecret: string
    callbackURL: string
    scope: readonly string[]
    nonce: boolean
    skipUserProfile: boolean
    store: StateStore
  }

  export type Verified = (error: unknown, user?: object | false, info?: object) => void

  export interface OAuth2 {
    _authorizeUrl: string
    getOAuthAccessToken(
      code: string,
      parameters: object,
      done: (error: unknown, accessToken?: string, refreshToken?: string, answer?: { id_token: string }) => void,
    ): void
  }

  export class Strategy {
    constructor(options: Options, verify: (issuer: string, profile: object, verified: Verified) => void)
    name: string
    _oauth2: OAuth2
    _stateStore: StateStore
    _verify: (issuer: string, profile: object, verified: Verified) => void
    authenticate(req: { query: Record<string, string> }, options?: object): void
    authorizationParams(options: object): Record<string, string>
    /** Passport puts these in place before it calls authenticate(). */
    error(error: unknown): void
    fail(challenge: unknown, status?: number): void
  }
}
