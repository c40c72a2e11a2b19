/** Accounts: who must not be the hub itself, and what is said to a directory must not be overheard. */
import { isLoopbackHost, listensBeyondLoopback } from './addresses.ts'
import type { Draft } from './draft.ts'
import type { Finding, Path } from './mistake.ts'
import type { Directory } from './schema.ts'
import { unknownName } from './words.ts'

export function accountMistakes(draft: Draft): Finding[] {
  const { accounts, login } = draft
  switch (accounts?.source) {
    case undefined:
    case 'system':
    case 'file':
    case 'plugin':
      return []
    case 'self':
    case 'demo':
      return ownMistakes(draft, accounts.source)
    case 'ldap':
      return directoryMistakes(accounts, ['accounts'])
    case 'claims':
      return login === undefined ? [] : claimsMistakes(accounts.provider, login.providers)
  }
}

function ownMistakes(draft: Draft, source: 'self' | 'demo'): Finding[] {
  if (!listensBeyondLoopback(draft)) return []
  const local = Object.values(draft.spawners).some(({ type }) => type === 'local')
  if (!local) return []
  const message = `is ${source}: beyond loopback everybody would run as the hub itself; use system or file and run the hub as root`
  return [{ path: ['accounts', 'source'], message }]
}

/** What is said to a directory must not be overheard. */
export function directoryMistakes({ servers, startTls, bindDn, passwordFile }: Directory, at: Path): Finding[] {
  const found = servers.flatMap((text, index): Finding[] => {
    const url = new URL(text)
    const path = [...at, 'servers', index]
    if (url.protocol === 'ldaps:' || startTls || isLoopbackHost(url.hostname)) return []
    const message = 'is not encrypted: whoever sits between could hand out accounts; write ldaps://, or startTls: true'
    return [{ path, message }]
  })
  if ((bindDn === undefined) !== (passwordFile === undefined)) {
    const missing = bindDn === undefined ? 'bindDn' : 'passwordFile'
    found.push({ path: [...at, missing], atKey: true, message: 'is missing; bindDn and passwordFile go together' })
  }
  return found
}

type Providers = NonNullable<Draft['login']>['providers']

/** Where anybody may register, anybody could be any account. */
function claimsMistakes(name: string, providers: Providers): Finding[] {
  const path = ['accounts', 'provider']
  const provider = Object.hasOwn(providers, name) ? providers[name] : undefined
  if (provider === undefined) return [{ path, message: unknownName('provider', name, Object.keys(providers)) }]
  if (provider.proves !== 'identity') return []
  return [
    { path, message: `names ${name}, which proves an identity alone; accounts come from one that proves: account` },
  ]
}
