/** An application without an agent: it is started itself, told its port by a variable and its secrets by a pipe. */
import type { AgentBootstrap } from '../../images/agent/bootstrap.ts'
import { checkProtocol } from '../common/checkProtocol.ts'
import type { EnvironmentSpec } from '../spawner.ts'
import type { LaunchTools } from './plan.ts'
import type { StartOptions } from './render.ts'

export interface PlainApplication {
  readonly argv: (port: number) => readonly string[]
  readonly variables: (port: number) => Readonly<Record<string, string>>
  /** The secrets' values in the order of their names, for standard input. */
  readonly line: string
  readonly script: Pick<StartOptions, 'secrets' | 'directory'>
}

/** Undefined: it has an agent. @throws LaunchRefused where such applications are not allowed */
export function plainApplication(
  { config, context }: LaunchTools,
  spec: EnvironmentSpec,
): PlainApplication | undefined {
  if (spec.protocol !== 'jupyterhub') return undefined
  checkProtocol(spec, config.allowUnencrypted)
  const secrets = context.secretVariables?.(spec) ?? {}
  const { argv, directory } = spec.application
  return {
    argv: (port) => argv.map((argument) => filled(argument, spec, port)),
    variables: (port) => ({ JUPYTERHUB_SERVICE_URL: `http://127.0.0.1:${port}${spec.prefix}` }),
    line: Object.values(secrets).join(' '),
    script: {
      secrets: Object.keys(secrets),
      ...(directory === undefined ? {} : { directory: filled(directory, spec, 0) }),
    },
  }
}

export function agentLine(bootstrap: AgentBootstrap): string {
  return ascii(JSON.stringify(bootstrap))
}

function filled(text: string, { prefix, account, application }: EnvironmentSpec, port: number): string {
  const values: Readonly<Record<string, string>> = {
    prefix,
    home: account.home,
    start: application.directory ?? account.home,
    port: String(port),
  }
  return text.replaceAll(/\{(prefix|home|start|port)\}/g, (_, name: string) => values[name] ?? '')
}

/** The shell's `read` is sure of ASCII only. */
function ascii(json: string): string {
  return json.replaceAll(/[^\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
