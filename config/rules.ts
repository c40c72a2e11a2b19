/** What must hold between fields. Each rule looks at what it needs and is silent when that is wrong already. */
import { BlockList, isIP } from 'node:net'
import type { Draft } from './draft.ts'
import type { Finding } from './mistake.ts'
import { accountMistakes } from './account-rules.ts'
import { loginMistakes, mailMistakes } from './login-rules.ts'
import { archiveFindings, mountFindings } from './mount-rules.ts'
import { offerMistakes } from './offer-rules.ts'
import { roleMistakes } from './role-rules.ts'
import { publicAddressFindings, isLoopbackHost, isLoopbackUrl, listensBeyondLoopback } from './addresses.ts'
import { unknownName } from './words.ts'

export interface Found {
  readonly mistakes: readonly Finding[]
  readonly warnings: readonly Finding[]
}

export function checkRules(draft: Draft): Found {
  const addresses = publicAddressFindings(draft)
  return {
    mistakes: [
      ...profileMistakes(draft),
      ...loginMistakes(draft),
      ...mailMistakes(draft),
      ...accessMistakes(draft),
      ...accountMistakes(draft),
      ...catalogueMistakes(draft),
      ...sandboxMistakes(draft),
      ...mountFindings(draft.mounts ?? []),
      ...homeStorageMistakes(draft),
      ...archiveFindings(draft.archive),
      ...offerMistakes(draft),
      ...trustedProxyMistakes(draft),
      ...roleMistakes(draft),
      ...addresses.mistakes,
    ],
    warnings: [...addresses.warnings, ...emptyWarnings(draft), ...agentWarnings(draft)],
  }
}

function homeStorageMistakes({ homeStorage, profiles, names }: Draft): Finding[] {
  if (homeStorage === undefined) return []
  const { from, command, rescue } = homeStorage
  const found: Finding[] = []
  if (from === 'command' && command === undefined) {
    const message = 'is missing; write the program that tells how full a home is, and its arguments'
    found.push({ path: ['homeStorage', 'command'], atKey: true, message })
  }
  if (from !== 'command' && command !== undefined) {
    found.push({ path: ['homeStorage', 'command'], message: 'is for `from: command` alone' })
  }
  if (rescue !== undefined && !names.profiles.includes(rescue)) {
    found.push({ path: ['homeStorage', 'rescue'], message: unknownName('profile', rescue, names.profiles) })
  } else if (rescue !== undefined && (profiles[rescue]?.kind ?? 'terminal') !== 'terminal') {
    found.push({ path: ['homeStorage', 'rescue'], message: 'is no terminal; name a profile of kind terminal' })
  }
  return found
}

function profileMistakes({ profiles, links, names }: Draft): Finding[] {
  const found: Finding[] = []
  for (const [name, { flavours, on }] of Object.entries(links)) {
    for (const [index, flavour] of flavours.entries()) {
      if (names.flavours.includes(flavour)) continue
      const message = unknownName('flavour', flavour, names.flavours)
      found.push({ path: ['profiles', name, 'flavours', index], message })
    }
    for (const spawner of Object.keys(on)) {
      if (names.spawners.includes(spawner)) continue
      const message = unknownName('spawner', spawner, names.spawners)
      found.push({ path: ['profiles', name, 'on', spawner], atKey: true, message })
    }
  }
  for (const [name, profile] of Object.entries(profiles)) {
    if (Object.keys(profile.on).length === 0) {
      found.push({ path: ['profiles', name, 'on'], message: 'names no spawner; name at least one of `spawners`' })
    }
    // What an image starts by itself only its spawner knows.
    if (profile.kind === 'web' && profile.argv === undefined && profile.image === undefined) {
      const message = 'is missing; a web application has no default command, write the one that starts it'
      found.push({ path: ['profiles', name, 'argv'], atKey: true, message })
    }
  }
  return found
}

function accessMistakes({ access }: Draft): Finding[] {
  return (access?.rules ?? []).flatMap(({ users, groups, claims, proposals }, index) =>
    [users, groups, claims, proposals].every((condition) => condition === undefined)
      ? [
          {
            path: ['access', 'rules', index],
            message: 'has no condition, so it would fit everybody; use access.otherwise for that',
          },
        ]
      : [],
  )
}

/** Whoever sits between could read the secrets, and say whose data are whose. */
function catalogueMistakes({ catalogue, accounts, login, archive }: Draft): Finding[] {
  const hook = archive?.hook?.url
  if (hook !== undefined && new URL(hook).protocol !== 'https:' && !isLoopbackUrl(new URL(hook))) {
    const message = 'must begin with https://: whoever sits between could say which folder is whose'
    return [{ path: ['archive', 'hook', 'url'], message }]
  }
  if (catalogue === undefined || !('url' in catalogue)) return []
  if (catalogue.type === 'icat' && catalogue.reader === undefined && catalogue.own === undefined) {
    const message = "is missing; say who asks: reader, or own where ICAT trusts the login's provider"
    return [{ path: ['catalogue', 'reader'], atKey: true, message }]
  }
  const trusted = catalogue.type === 'icat' ? catalogue.own?.provider : undefined
  const known = Object.keys(login?.providers ?? {})
  if (trusted !== undefined && login !== undefined && !known.includes(trusted)) {
    return [{ path: ['catalogue', 'own', 'provider'], message: unknownName('provider', trusted, known) }]
  }
  const shared = accounts?.source === 'self' || accounts?.source === 'demo'
  if (catalogue.type === 'scicat' && catalogue.groups.includes('account') && shared) {
    const message = `names account, but with accounts.source ${accounts.source} everybody has the groups of the hub; use login, or another source of accounts`
    return [{ path: ['catalogue', 'groups'], message }]
  }
  const url = new URL(catalogue.url)
  if (url.username || url.password || url.search || url.hash) {
    const message = 'must be an address alone: no account, no question mark; secrets have files of their own'
    return [{ path: ['catalogue', 'url'], message }]
  }
  if (url.protocol === 'https:' || isLoopbackUrl(url)) return []
  const message = 'must begin with https://: whoever sits between could say whose data are whose'
  return [{ path: ['catalogue', 'url'], message }]
}

/** Without a sandbox every environment can read what the hub can: its keys, the homes of others. */
function sandboxMistakes(draft: Draft): Finding[] {
  if (!listensBeyondLoopback(draft)) return []
  return Object.entries(draft.spawners).flatMap(([name, spawner]) =>
    spawner.type === 'local' && spawner['allowUnsandboxed'] === true
      ? [
          {
            path: ['spawners', name, 'allowUnsandboxed'],
            message: 'is refused beyond loopback; install bubblewrap and take it out',
          },
        ]
      : [],
  )
}

function trustedProxyMistakes({ proxy }: Draft): Finding[] {
  return (proxy?.trustedProxies ?? []).flatMap((range, index) =>
    isRange(range)
      ? []
      : [{ path: ['proxy', 'trustedProxies', index], message: 'is not an address or a range, such as 10.0.0.0/8' }],
  )
}

function isRange(text: string): boolean {
  const [address = '', bits, ...more] = text.split('/')
  const family = isIP(address)
  if (family === 0 || more.length > 0) return false
  if (bits === undefined) return true
  if (!/^\d{1,3}$/.test(bits) || Number(bits) > (family === 4 ? 32 : 128)) return false
  new BlockList().addSubnet(address, Number(bits), family === 4 ? 'ipv4' : 'ipv6')
  return true
}

function emptyWarnings({ login, names }: Draft): Finding[] {
  const found: Finding[] = []
  if (login !== undefined && !login.demo && Object.keys({ ...login.providers, ...login.passwords }).length === 0) {
    found.push({ path: ['login'], message: 'nobody can log in; add a provider to login.providers' })
  }
  if (names.profiles.length === 0) {
    found.push({ path: ['profiles'], message: 'nothing can be launched; add a profile' })
  }
  return found
}

function agentWarnings({ agents, spawners }: Draft): Finding[] {
  if (agents === undefined || !isLoopbackHost(agents.advertise ?? agents.listen.host)) return []
  const remote = Object.entries(spawners).find(([, { type }]) => type !== 'local')
  if (remote === undefined) return []
  const message = `environments on other machines (spawner ${remote[0]}) can't report to loopback; listen on an address that they reach`
  return [{ path: ['agents', agents.advertise === undefined ? 'listen' : 'advertise'], message }]
}
