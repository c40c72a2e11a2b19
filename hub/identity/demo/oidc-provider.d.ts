/** What Hutch uses of oidc-provider 9, which ships no types. */
declare module 'oidc-provider' {
  import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
  import type { Context, Middleware } from 'koa'

  export interface Interaction {
    readonly uid: string
    readonly prompt: { readonly name: string }
  }

  export interface Grant {
    addOIDCScope(scope: string): void
    save(): Promise<string>
  }

  export interface ProviderContext extends Context {
    readonly oidc: {
      readonly client: { readonly clientId: string }
      readonly provider: Provider
      readonly session: {
        readonly accountId: string
        grantIdFor(clientId: string): string | undefined
      }
    }
  }

  export class Provider {
    constructor(issuer: string, configuration: object)
    /** Whether X-Forwarded-* are believed. */
    proxy: boolean
    /** How many addresses of X-Forwarded-For count, from its end. */
    maxIpsCount: number
    readonly Grant: {
      new (of: { clientId: string; accountId: string }): Grant
      find(id: string): Promise<Grant | undefined>
    }
    use(middleware: Middleware): this
    callback(): RequestListener
    on(event: 'server_error', listener: (ctx: Context, error: Error) => void): this
    interactionDetails(req: IncomingMessage, res: ServerResponse): Promise<Interaction>
    interactionResult(req: IncomingMessage, res: ServerResponse, result: object): Promise<string>
  }
}
