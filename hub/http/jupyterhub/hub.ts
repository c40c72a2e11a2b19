/** /, /info, /proxy, and what other parts of JupyterHub's API come to here. */
import { z } from 'zod'
import { serverNameOf } from '../../roles/server-name.ts'
import { type Operation, operation } from './operation.ts'
import { demand } from './requester.ts'
import { type ApiTools, jupyterHubVersion, listed, listSchema, rangeOf, rangeSchema } from './tools.ts'
import project from '../../../package.json' with { type: 'json' }

const routeSchema = z.strictObject({
  routespec: z.string(),
  target: z.string(),
  data: z.record(z.string(), z.unknown()),
})

const settleMs = 5_000

export function hubOperations(tools: ApiTools): readonly Operation[] {
  const root = (path: string): Operation =>
    operation({
      method: 'GET',
      path,
      summary: 'The version of JupyterHub whose API this is',
      open: true,
      answers: { 200: { description: 'The version', schema: z.strictObject({ version: z.string() }) } },
      handle: () => ({ status: 200, body: { version: jupyterHubVersion } }),
    })

  return [
    root('/'),
    operation({
      method: 'GET',
      path: '/info',
      summary: 'What this hub is made of',
      scopes: ['read:hub'],
      answers: {
        200: {
          description: 'Versions',
          schema: z.strictObject({
            version: z.string(),
            python: z.string(),
            sys_executable: z.string(),
            spawner: z.strictObject({ class: z.string(), version: z.string() }),
            authenticator: z.strictObject({ class: z.string(), version: z.string() }),
          }),
        },
      },
      handle({ ctx }) {
        demand(ctx, ['read:hub'])
        const own = { class: 'hutch', version: project.version }
        const body = { version: jupyterHubVersion, python: '', sys_executable: '', spawner: own, authenticator: own }
        return { status: 200, body }
      },
    }),
    operation({
      method: 'GET',
      path: '/proxy',
      summary: "The proxy's routes",
      scopes: ['proxy'],
      query: rangeSchema,
      answers: { 200: { description: 'Routes by their place', schema: listSchema(z.record(z.string(), routeSchema)) } },
      handle({ ctx, query }) {
        demand(ctx, ['proxy'])
        const range = rangeOf(ctx, query)
        const all = tools.routes.routes()
        const some = all.slice(range.offset, range.offset + range.limit).map(({ host, prefix, target, owner, id }) => {
          const routespec = (host ?? '') + prefix
          const server = prefix.split('/')[3] ?? ''
          const data = { user: owner.name, server_name: serverNameOf(server), hutch: id }
          return [routespec, { routespec, target: targetText(target), data }] as const
        })
        return { status: 200, body: listed(ctx, tools, Object.fromEntries(some), range, all.length) }
      },
    }),
    operation({
      method: 'POST',
      path: '/proxy',
      summary: 'Waits until every proxy has every route',
      scopes: ['proxy'],
      answers: { 200: { description: 'They have', schema: null } },
      async handle({ ctx }) {
        demand(ctx, ['proxy'])
        await tools.routes.settled(AbortSignal.timeout(settleMs))
        return { status: 200 }
      },
    }),
  ]
}

function targetText(target: ReturnType<ApiTools['routes']['routes']>[number]['target']): string {
  switch (target.kind) {
    case 'psk':
      return `https://${target.host.includes(':') ? `[${target.host}]` : target.host}:${target.port}`
    case 'http':
      return target.url
    case 'unix':
      return `unix:${target.path}`
  }
}
