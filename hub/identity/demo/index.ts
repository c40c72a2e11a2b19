/**
 * An OpenID Connect provider inside the hub, with three demo people: so that a first try needs nothing else. It
 * speaks to the hub as any other would. It is for one machine alone: whoever knows a password gets a shell.
 */
import { randomBytes } from 'node:crypto'
import type { RequestListener } from 'node:http'
import { join } from 'node:path'
import { Provider, type ProviderContext } from 'oidc-provider'
import type { Context } from 'koa'
import { z } from 'zod'
import { isLoopbackHost, isLoopbackUrl } from '../../../config/addresses.ts'
import type { Log } from '../../../spawners/spawner.ts'
import { createAdapters } from './adapter.ts'
import { createInsideFetch } from './inside-fetch.ts'
import { interactions } from './interaction.ts'
import { type DemoKeys, loadKeys } from './keys.ts'
import { logoutPage, problemPage } from './page.ts'
import { type DemoPerson, loadPeople } from './people.ts'
import { keptInFile } from './private-file.ts'

export interface DemoProvider {
  readonly issuer: string
  /** What it is mounted under, on the hub's origin. */
  readonly path: string
  /** Takes every request whose path begins with `path`; before Koa, because it reads bodies and sets headers itself. */
  readonly callback: RequestListener
  readonly people: readonly DemoPerson[]
  readonly client: Readonly<{ id: string; secret: string }>
  /** Reaches it without any network, whatever stands in front of the hub. */
  readonly fetch: typeof fetch
}

export interface DemoOptions {
  readonly stateFolder: string
  readonly publicUrl: URL
  /** The host that the proxy listens on. */
  readonly listenHost: string
  readonly now: () => Date
  readonly log: Log
}

const demoPath = '/hub/demo/'
const clientId = 'hutch'

/** Throws, with a sentence for whoever wrote the configuration, when the hub can be reached from beyond this machine. */
export async function createDemoProvider(options: DemoOptions): Promise<DemoProvider> {
  const { stateFolder, publicUrl, listenHost, now, log } = options
  if (!isLoopbackHost(listenHost) || !isLoopbackUrl(publicUrl)) {
    throw new Error(
      'login.demo: refused, because the hub listens beyond this machine and whoever logs in gets a shell; use login.providers there',
    )
  }
  const people = await loadPeople(join(stateFolder, 'demo-people.json'))
  const keys = await loadKeys(join(stateFolder, 'demo-keys.json'))
  const base = new URL(demoPath, publicUrl).href
  // People are who they are by the issuer too: it stays what it was first, on whatever port the hub listens today.
  const issuer = await keptInFile(join(stateFolder, 'demo-issuer.json'), z.url(), () => base.replace(/\/$/, ''))
  // Both ends live in this process: the secret is made anew each time and written nowhere.
  const client = { id: clientId, secret: randomBytes(32).toString('base64url') }
  const provider = new Provider(issuer, providerConfiguration({ client, keys, people, publicUrl, now }))
  provider.proxy = true
  // The last address is the one that our own proxy saw; those before it are what a visitor may have made up.
  provider.maxIpsCount = 1
  provider.on('server_error', (_ctx, error) => log.error({ err: error }, 'the demo provider failed'))
  provider.use(interactions({ provider, people, path: demoPath, publicOrigin: publicUrl.origin }))
  const callback = mounted(provider.callback(), publicUrl)
  return { issuer, path: demoPath, callback, people, client, fetch: createInsideFetch(callback, [base, `${issuer}/`]) }
}

/** Strips the path, and makes the provider write its links with the public address, whatever Host the hub is sent. */
function mounted(callback: RequestListener, publicUrl: URL): RequestListener {
  return (req, res) => {
    const original = req.url ?? '/'
    req.url = original.slice(demoPath.length - 1)
    Object.assign(req, { originalUrl: original })
    req.headers['x-forwarded-host'] = publicUrl.host
    req.headers['x-forwarded-proto'] = publicUrl.protocol.slice(0, -1)
    callback(req, res)
  }
}

interface Parts {
  readonly client: DemoProvider['client']
  readonly keys: DemoKeys
  readonly people: readonly DemoPerson[]
  readonly publicUrl: URL
  readonly now: () => Date
}

function providerConfiguration({ client, keys, people, publicUrl, now }: Parts): object {
  const day = 86_400
  return {
    adapter: createAdapters(() => now().getTime()),
    jwks: { keys: [keys.signing] },
    clients: [
      {
        client_id: client.id,
        client_secret: client.secret,
        redirect_uris: [new URL('/hub/login/demo/callback', publicUrl).href],
        post_logout_redirect_uris: [new URL('/hub/login', publicUrl).href],
        id_token_signed_response_alg: 'ES256',
      },
    ],
    cookies: {
      keys: [keys.cookies],
      names: { session: 'hutch-demo-session', interaction: 'hutch-demo-interaction', resume: 'hutch-demo-resume' },
      long: { path: demoPath, httpOnly: true, sameSite: 'lax', signed: true },
      short: { httpOnly: true, sameSite: 'lax', signed: true },
    },
    claims: { openid: ['sub'], profile: ['name', 'preferred_username', 'groups'], email: ['email'] },
    features: {
      devInteractions: { enabled: false },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: logoutPage,
        postLogoutSuccessSource: (ctx: Context) => ctx.redirect('/hub/login'),
      },
    },
    pkce: { required: () => true },
    interactions: { url: (_ctx: unknown, { uid }: { uid: string }) => `${demoPath}interaction/${uid}` },
    clientBasedCORS: () => false,
    ttl: {
      AccessToken: 600,
      AuthorizationCode: 60,
      IdToken: 600,
      Interaction: 1_800,
      Session: day,
      Grant: day,
    },
    findAccount: (_ctx: unknown, id: string) => account(people, id),
    loadExistingGrant,
    renderError: (ctx: Context, out: { error_description?: string; error: string }) =>
      problemPage(ctx, `The demo login refused the request: ${out.error_description ?? out.error}.`),
  }
}

function account(people: readonly DemoPerson[], id: string) {
  const person = people.find(({ name }) => name === id)
  if (!person) return undefined
  const { name, title, email } = person
  return {
    accountId: name,
    claims: () => ({ sub: name, name: title, preferred_username: name, email, groups: ['demo'] }),
  }
}

/** The hub is the provider's only client and part of it: nobody is asked whether it may know their name. */
async function loadExistingGrant(ctx: ProviderContext) {
  const { provider, client, session } = ctx.oidc
  // One for each session: a second one would take the first one's place, and break the login in another tab.
  const granted = session.grantIdFor(client.clientId)
  const known = granted === undefined ? undefined : await provider.Grant.find(granted)
  if (known) return known
  const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId })
  grant.addOIDCScope('openid profile email')
  await grant.save()
  return grant
}
