import type { AgentBootstrap } from '../../images/agent/bootstrap.ts'
import type { EnvironmentSpec } from '../spawner.ts'

export interface BootstrapParts {
  readonly spec: EnvironmentSpec
  /** 32 bytes: agentKey(hub's agents key, spec.id). */
  readonly key: Buffer
  /** The hub's listener for agents, as the environment reaches it. */
  readonly report: AgentBootstrap['report']
  readonly listen: AgentBootstrap['listen']
  readonly startTimeoutMs: number
  readonly stopTimeoutMs: number
  readonly socketFolder?: string
}

/** What the agent of this environment is told. Holds its key: never argv, variables or a log. */
export function agentBootstrap(parts: BootstrapParts): AgentBootstrap {
  const { spec, key, report, listen, startTimeoutMs, stopTimeoutMs, socketFolder } = parts
  return {
    version: 1,
    id: spec.id,
    key: key.toString('base64url'),
    report,
    listen,
    prefix: spec.prefix,
    user: spec.account.name,
    application: { ...spec.application, argv: [...spec.application.argv] },
    directories: spec.mounts.map(({ name, target, readOnly }) => ({ name, path: target, readOnly })),
    ...(socketFolder !== undefined && { socketFolder }),
    startTimeoutMs,
    stopTimeoutMs,
  }
}
