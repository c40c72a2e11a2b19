/** The desktop of an agent: its bootstrap's words, with JupyterLab as an environment of its own would start it. */
import type { AgentBootstrap } from './bootstrap.ts'
import { startApplication } from './application.ts'
import { defaultApplication } from './applications.ts'
import { createDesktop, type DesktopKind, type DesktopKindOptions } from './desktop/index.ts'
import type { Evidence } from './evidence.ts'
import { createJupyterWatch } from './jupyter-activity.ts'
import { fillIn } from './placeholders.ts'
import { upstreamOf } from './upstream.ts'

interface DesktopGround extends Pick<DesktopKindOptions, 'environment' | 'lines' | 'assets' | 'onInput' | 'say'> {
  readonly bootstrap: AgentBootstrap
  readonly home: string
  /** Where programs start. */
  readonly start: string
  readonly evidence: Evidence
}

export function desktopOf({ bootstrap, home, start, evidence, ...rest }: DesktopGround): DesktopKind {
  const { application, directories, prefix, startTimeoutMs, user } = bootstrap
  const { environment, lines } = rest
  const values = { prefix, home, start }
  const notebook = defaultApplication('notebook')
  return createDesktop({
    ...rest,
    argv: application.argv.map((argument) => fillIn(argument, values)),
    user,
    directory: start,
    roots: [{ name: 'Home', path: home }, ...directories.filter(({ path }) => path !== home)],
    startTimeoutMs,
    startNotebook: (socket, more) =>
      startApplication({
        argv: notebook.argv.map((argument) => fillIn(argument, { ...values, socket })),
        directory: start,
        environment: { ...environment, ...more },
        upstream: upstreamOf({ socket }),
        readyUrl: prefix + notebook.readyPath,
        startTimeoutMs,
        lines,
      }),
    onNotebook: (socket) => evidence.ask(createJupyterWatch({ to: { socketPath: socket }, prefix }, evidence.activity)),
  })
}
