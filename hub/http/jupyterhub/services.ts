/** /services: those of the configuration. They are changed there. */
import { z } from 'zod'
import { allows, type Permissions } from '../../roles/permissions.ts'
import { type Operation, operation } from './operation.ts'
import { demand, nothingThere, requesterOf } from './requester.ts'
import type { ApiTools } from './tools.ts'

export const serviceModelSchema = z.strictObject({
  kind: z.literal('service'),
  name: z.string(),
  admin: z.boolean().optional(),
  roles: z.array(z.string()).optional(),
  url: z.string().optional(),
  prefix: z.string().optional(),
  command: z.array(z.string()).optional(),
  pid: z.int().optional(),
  info: z.record(z.string(), z.unknown()).optional(),
  display: z.boolean().optional(),
})

export function serviceModel(
  name: string,
  { services, access }: Pick<ApiTools, 'services' | 'access'>,
  permissions: Permissions,
): z.output<typeof serviceModelSchema> | undefined {
  const service = Object.hasOwn(services, name) ? services[name] : undefined
  if (service === undefined) return undefined
  const target = { kind: 'service', name } as const
  const all = allows(permissions, 'read:services', target)
  const roles = allows(permissions, 'read:roles:services', target)
  if (!all && !roles && !allows(permissions, 'read:services:name', target)) return undefined
  const standing = access.ofService(name)
  return {
    kind: 'service',
    name,
    admin: standing.admin,
    ...(roles ? { roles: [...standing.roles] } : {}),
    ...(all
      ? {
          url: service.url ?? '',
          prefix: service.url === undefined ? '' : `/services/${name}/`,
          command: [],
          pid: 0,
          info: { ...service.info },
          display: service.display,
        }
      : {}),
  }
}

export function serviceOperations(tools: ApiTools): readonly Operation[] {
  return [
    operation({
      method: 'GET',
      path: '/services',
      summary: 'Services, by name',
      scopes: ['list:services'],
      answers: { 200: { description: 'Services', schema: z.record(z.string(), serviceModelSchema) } },
      handle({ ctx }) {
        const { permissions } = requesterOf(ctx)
        const names = Object.keys(tools.services).filter((name) =>
          allows(permissions, 'list:services', { kind: 'service', name }),
        )
        if (names.length === 0) demand(ctx, ['list:services'])
        const models = names.flatMap((name) => serviceModel(name, tools, permissions) ?? [])
        return { status: 200, body: Object.fromEntries(models.map((model) => [model.name, model])) }
      },
    }),
    operation({
      method: 'GET',
      path: '/services/{service}',
      summary: 'A service',
      scopes: ['read:services', 'read:services:name', 'read:roles:services'],
      answers: { 200: { description: 'The service', schema: serviceModelSchema } },
      handle({ ctx, params }) {
        const name = params['service'] ?? ''
        demand(ctx, ['read:services', 'read:services:name', 'read:roles:services'], { kind: 'service', name })
        const model = serviceModel(name, tools, requesterOf(ctx).permissions)
        if (model === undefined) throw nothingThere()
        return { status: 200, body: model }
      },
    }),
  ]
}
