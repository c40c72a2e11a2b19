/** How people log in: what must hold between providers, forms and what they ask. */
import { directoryMistakes } from './account-rules.ts'
import { isLoopbackUrl, listensBeyondLoopback } from './addresses.ts'
import type { Draft } from './draft.ts'
import type { Finding } from './mistake.ts'

export function loginMistakes(draft: Draft): Finding[] {
  const { login } = draft
  if (login === undefined) return []
  const found: Finding[] = []
  if (login.demo && listensBeyondLoopback(draft)) {
    const message = 'is refused beyond loopback: the demo is no protection; use login.providers, or listen on 127.0.0.1'
    found.push({ path: ['login', 'demo'], message })
  }
  if (login.idle > login.lifetime) {
    found.push({ path: ['login', 'idle'], message: 'is longer than login.lifetime; make it shorter' })
  }
  for (const kind of ['providers', 'passwords'] as const) {
    for (const name of ['renew', 'renewed'].filter((reserved) => Object.hasOwn(login[kind], reserved))) {
      found.push({ path: ['login', kind, name], atKey: true, message: 'is a name of the hub’s own; take another' })
    }
  }
  found.push(...passwordMistakes(draft))
  const several = Object.keys({ ...login.providers, ...login.passwords }).length > 1
  for (const [name, provider] of Object.entries(login.providers)) {
    if (several && provider.proves === undefined) {
      const message =
        "is missing; with several providers say proves: account for the facility's own login, proves: identity where anyone can register"
      found.push({ path: ['login', 'providers', name, 'proves'], atKey: true, message })
    }
    const issuer = new URL(provider.issuer)
    if (issuer.protocol !== 'https:' && !(issuer.protocol === 'http:' && isLoopbackUrl(issuer))) {
      const message = 'must begin with https://: whoever sits between could log in as anybody'
      found.push({ path: ['login', 'providers', name, 'issuer'], message })
    }
    if (!provider.scopes.includes('openid')) {
      const message = 'lacks openid; without it the provider does not say who somebody is'
      found.push({ path: ['login', 'providers', name, 'scopes'], message })
    }
  }
  return found
}

function passwordMistakes({ login, accounts }: Draft): Finding[] {
  const found: Finding[] = []
  for (const [name, one] of Object.entries(login?.passwords ?? {})) {
    const path = ['login', 'passwords', name]
    if (Object.hasOwn(login?.providers ?? {}, name) || (name === 'demo' && login?.demo === true)) {
      found.push({ path, atKey: true, message: 'is the name of a provider already; take another' })
    }
    if (one.type !== 'ldap') continue
    if (one.directory !== undefined) found.push(...directoryMistakes(one.directory, [...path, 'directory']))
    else if (accounts !== undefined && accounts.source !== 'ldap') {
      const message = 'is missing; without it the directory is that of accounts, and accounts.source is not ldap'
      found.push({ path: [...path, 'directory'], atKey: true, message })
    }
  }
  return found
}

export function mailMistakes({ mail, notify }: Draft): Finding[] {
  if (mail === undefined || notify === undefined) return []
  return [{ path: ['notify'], atKey: true, message: 'stands beside mail; messages go one way, take one of them out' }]
}
