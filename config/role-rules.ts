/** What must hold between roles, groups and services. */
import type { Draft } from './draft.ts'
import type { Finding } from './mistake.ts'
import { unknownName } from './words.ts'

const everyHubs = ['user', 'admin', 'server', 'token', 'support', 'local-contact']

export function roleMistakes({ roles = {}, services = {} }: Draft): Finding[] {
  const known = [...new Set([...everyHubs, ...Object.keys(roles)])]
  const found: Finding[] = []
  for (const [name, role] of Object.entries(roles)) {
    if (name === 'admin') {
      found.push({
        path: ['roles', name],
        atKey: true,
        message: 'is every hub’s own, and may do everything; name another one',
      })
    }
    for (const [index, service] of role.services.entries()) {
      if (Object.hasOwn(services, service)) continue
      const message = unknownName('service', service, Object.keys(services))
      found.push({ path: ['roles', name, 'services', index], message })
    }
  }
  for (const [name, service] of Object.entries(services)) {
    for (const [index, role] of service.roles.entries()) {
      if (known.includes(role)) continue
      found.push({ path: ['services', name, 'roles', index], message: unknownName('role', role, known) })
    }
    if (service.url !== undefined && !/^https?:\/\/[^/?#@]+\/?$/.test(service.url)) {
      const message = 'must be http:// or https:// with host and port and nothing more, such as http://127.0.0.1:8800'
      found.push({ path: ['services', name, 'url'], message })
    }
    if (service.redirectUri !== undefined && !/^(?:\/|https?:\/\/)[^\s#]+$/.test(service.redirectUri)) {
      found.push({ path: ['services', name, 'redirectUri'], message: 'must be a path that begins with /, or a URL' })
    }
  }
  return found
}
