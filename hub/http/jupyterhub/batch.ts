/** POST /batchspawner: how images made for batch systems say which port they found (batchspawner's singleuser). */
import { z } from 'zod'
import { isEnvironmentId } from '../../../spawners/spawner.ts'
import { Problem } from '../../domain/problem.ts'
import { possibleVisitor } from '../visitor.ts'
import { type Operation, operation } from './operation.ts'
import type { ApiTools } from './tools.ts'

export function batchOperations({ environments }: ApiTools): readonly Operation[] {
  return [
    operation({
      method: 'POST',
      path: '/batchspawner',
      summary: 'The port of the environment whose token this is',
      body: z.object({ port: z.int().min(1).max(65_535) }),
      answers: {
        201: { description: 'Noted', schema: z.strictObject({ message: z.string() }) },
      },
      async handle({ ctx, body }) {
        const [, id = ''] = /^server-(.+)$/.exec(possibleVisitor(ctx)?.login ?? '') ?? []
        if (!isEnvironmentId(id)) {
          throw new Problem('forbidden', "This takes the environment's own token (JUPYTERHUB_API_TOKEN).")
        }
        await environments.reported(
          id,
          { version: 1, port: body.port, run: 'batchspawner', application: 'ready' },
          ctx.ip,
        )
        return { status: 201, body: { message: 'The port is known.' } }
      },
    }),
  ]
}
