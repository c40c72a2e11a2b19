/** Where the hub is reached, and what that asks for. */
import { isIP } from 'node:net'
import type { Draft } from './draft.ts'
import type { Finding } from './mistake.ts'

export function isLoopbackHost(host: string): boolean {
  const name = host.toLowerCase().replace(/^\[|\]$/g, '')
  if (isIP(name) === 4) return name.startsWith('127.')
  return name === '::1' || name === 'localhost' || name.endsWith('.localhost')
}

export function isLoopbackUrl(url: URL): boolean {
  return isLoopbackHost(url.hostname)
}

/** Also when something in front publishes it. */
export function listensBeyondLoopback({ listen, publicUrl }: Pick<Draft, 'listen' | 'publicUrl'>): boolean {
  const listens = listen !== undefined && !isLoopbackHost(listen.host)
  return listens || (publicUrl !== undefined && !isLoopbackUrl(new URL(publicUrl)))
}

export function publicAddressFindings(draft: Draft): { mistakes: Finding[]; warnings: Finding[] } {
  const mistakes: Finding[] = []
  const warnings: Finding[] = []
  const { listen, publicUrl, environments } = draft
  const beyond = listensBeyondLoopback(draft)
  const url = publicUrl === undefined ? undefined : new URL(publicUrl)

  if (url === undefined && listen !== undefined && beyond) {
    const message = 'is missing; beyond loopback the hub must know what browsers call it: https://…'
    mistakes.push({ path: ['publicUrl'], message })
  }
  if (url !== undefined) mistakes.push(...originMistakes(url))
  if (url?.protocol === 'http:' && !isLoopbackUrl(url)) {
    const message = 'begins with http://: logins and data travel for all to read; put TLS in front, or set proxy.tls'
    warnings.push({ path: ['publicUrl'], message })
  }
  const hosts = environments?.hosts
  if (hosts !== undefined) mistakes.push(...hostsMistakes(hosts, url))
  else if (environments !== undefined && beyond) {
    const message =
      'is not set: on one single origin code in an environment acts as its visitor, so that only owners are let in'
    warnings.push({ path: ['environments', 'hosts'], message })
  }
  return { mistakes, warnings }
}

function originMistakes(url: URL): Finding[] {
  const path = ['publicUrl']
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return [{ path, message: 'must begin with https://' }]
  if (url.username !== '' || url.password !== '') return [{ path, message: 'holds a user or password; take it out' }]
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') {
    return [{ path, message: `has a path; Hutch needs a host of its own, such as ${url.origin}` }]
  }
  return []
}

function hostsMistakes(hosts: string, url: URL | undefined): Finding[] {
  const path = ['environments', 'hosts']
  const name = hosts.replace('{user}', 'user')
  if (!hosts.startsWith('{user}.') || !/^[a-z0-9-]+(\.[a-z0-9-]+)+$/.test(name)) {
    return [{ path, message: 'must be {user}. and a host name in lowercase, such as {user}.envs.example.org' }]
  }
  const parent = name.slice('user.'.length)
  const hub = url?.hostname
  if (hub !== undefined && hub.endsWith(`.${parent}`)) {
    return [{ path, message: `a user could be called as the hub's own host, ${hub}; use {user}.envs.${parent}` }]
  }
  return []
}
