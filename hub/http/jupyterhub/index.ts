/** /hub/api: JupyterHub's API, and its document. */
import type { Router } from '@koa/router'
import type { Context } from 'koa'
import { z } from 'zod'
import type { Audit } from '../../audit/index.ts'
import { archiveOperations, type ArchiveTools } from './archive.ts'
import { batchOperations } from './batch.ts'
import { groupOperations } from './groups.ts'
import { hubOperations } from './hub.ts'
import { oauthOperations, type OAuthTools } from './oauth.ts'
import { openApiDocument } from './openapi.ts'
import { type Operation, operation, routerOf } from './operation.ts'
import { roleOperations } from './roles.ts'
import { serverOperations } from './servers.ts'
import { serviceOperations } from './services.ts'
import { shareCodeOperations } from './share-codes.ts'
import type { ShareTools } from './share-tools.ts'
import { sharedWithOperations } from './shared-with.ts'
import { shareOperations } from './shares.ts'
import { tokenOperations } from './tokens.ts'
import { type ApiTools, jupyterHubVersion } from './tools.ts'
import { userOperations } from './users.ts'

export type JupyterHubOptions = ApiTools & OAuthTools & ShareTools & ArchiveTools

export function jupyterHubOperations(tools: JupyterHubOptions): readonly Operation[] {
  const operations: Operation[] = [
    ...hubOperations(tools),
    ...userOperations(tools),
    ...serverOperations(tools),
    ...tokenOperations(tools),
    ...groupOperations(tools),
    ...roleOperations(tools),
    ...serviceOperations(tools),
    ...shareOperations(tools),
    ...shareCodeOperations(tools),
    ...sharedWithOperations(tools),
    ...oauthOperations(tools),
    ...batchOperations(tools),
    ...archiveOperations(tools),
  ]
  let document: object | undefined
  operations.push(
    operation({
      method: 'GET',
      path: '/openapi.json',
      summary: 'This document',
      open: true,
      answers: { 200: { description: 'OpenAPI 3.1', schema: z.looseObject({ openapi: z.string() }) } },
      handle: () => ({ status: 200, body: (document ??= openApiDocument(operations)) }),
    }),
  )
  return operations
}

export function jupyterHubRouter(operations: readonly Operation[], audit: Pick<Audit, 'write'>): Router {
  const before = (ctx: Context): void => {
    ctx.set('Cache-Control', 'no-store')
    ctx.set('X-JupyterHub-Version', jupyterHubVersion)
  }
  return routerOf(operations, { audit, before })
}
