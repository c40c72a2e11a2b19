/** Without a sandbox: the environment sees the machine as it is, and directories where they lie on it. */
import { join, relative } from 'node:path'
import { isWithin } from '../common/checkMounts.ts'
import { environmentVariables } from '../common/environmentVariables.ts'
import { ticketVariables } from '../common/ticketFiles.ts'
import type { EnvironmentSpec } from '../spawner.ts'
import { agentLine, type PlainApplication } from './plain.ts'
import type { LaunchPlan, LaunchTools } from './plan.ts'
import { startScript, type HostMount } from './render.ts'

/**
 * Nothing can be mounted, so HUTCH_MOUNTS (JSON: wanted path → path on this machine) says where things are, and the
 * folder HUTCH_MOUNTS_FOLDER has a link to each. HOME is the home's path on this machine.
 */
export function openPlan(
  { config, context, tickets }: LaunchTools,
  spec: EnvironmentSpec,
  mounts: readonly HostMount[],
  plain: PlainApplication | undefined,
): LaunchPlan {
  const found = (path: string): string => {
    const mount = mounts.findLast((each) => isWithin(path, each.target))
    return mount ? join(mount.source, relative(mount.target, path)) : path
  }
  const account = { ...spec.account, home: found(spec.account.home) }
  const directory = plain?.script.directory
  const plainScript = { ...plain?.script, ...(directory === undefined ? {} : { directory: found(directory) }) }
  const variables = (folder: string) => ({
    ...environmentVariables({ ...spec, account }, { PATH: config.path.join(':'), TMPDIR: '/tmp' }),
    ...ticketVariables(spec, tickets.folderOf(account)),
    HUTCH_MOUNTS: JSON.stringify(Object.fromEntries(mounts.map(({ source, target }) => [target, source]))),
    HUTCH_MOUNTS_FOLDER: join(folder, 'mounts'),
  })
  return {
    mode: 'open',
    command: (folder, port) => [
      '/bin/sh',
      join(folder, 'start.sh'),
      ...(plain?.argv(port).map(found) ?? [...context.agent.argv, '--config', '-']),
    ],
    sandbox: () => undefined,
    startScript: (folder, port) =>
      startScript(
        { ...variables(folder), ...plain?.variables(port) },
        { umask: config.umask, pidFile: join(folder, 'agent'), ...plainScript },
      ),
    links: Object.fromEntries(mounts.map(({ source, target }) => [target.slice(1).replaceAll('/', '-'), source])),
    needsPort: plain !== undefined,
    line: ({ application, directories, ...rest }) =>
      plain?.line ??
      agentLine({
        ...rest,
        application: {
          ...application,
          argv: application.argv.map(found),
          ...(application.directory !== undefined && { directory: found(application.directory) }),
        },
        directories: directories.map((directory) => ({ ...directory, path: found(directory.path) })),
      }),
  }
}
