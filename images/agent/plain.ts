/** Applications that listen on a port of the node themselves, as jupyterhub-singleuser does: which, and what they are told. */
import { basename } from 'node:path'
import { createServer } from 'node:https'
import type { AgentBootstrap } from './bootstrap.ts'
import { listen } from './listen.ts'

/** It was free a moment ago: whoever takes it meanwhile makes the start fail. @throws when none is. */
export async function unusedPort(where: AgentBootstrap['listen']): Promise<number> {
  const server = createServer()
  const port = await listen(server, where)
  await new Promise((resolve) => server.close(resolve))
  return port
}

export function plainVariables(
  { prefix, listen: { host }, plain }: Pick<AgentBootstrap, 'prefix' | 'listen' | 'plain'>,
  port: number,
): Readonly<Record<string, string>> {
  return plain === undefined ? {} : { ...plain.variables, JUPYTERHUB_SERVICE_URL: `http://${host}:${port}${prefix}` }
}

/** batchspawner's finds a port of its own and tells the hub: POST /hub/api/batchspawner. */
export function tellsItself({ application: { argv } }: Pick<AgentBootstrap, 'application'>): boolean {
  return basename(argv[0] ?? '') === 'batchspawner-singleuser'
}
