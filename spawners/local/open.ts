/** Without a sandbox: the environment sees the machine as it is, and directories where they lie on it. */
import { join, relative } from 'node:path'
import { isWithin } from '../common/checkMounts.ts'
import type { EnvironmentSpec } from '../spawner.ts'
import type { LaunchPlan, LaunchTools } from './plan.ts'
import { environmentVariables, startScript, type HostMount } from './render.ts'

/**
 * Nothing can be mounted, so HUTCH_MOUNTS (JSON: wanted path → path on this machine) says where things are, and the
 * folder HUTCH_MOUNTS_FOLDER has a link to each. HOME is the home's path on this machine.
 */
export function openPlan(
  { config, context }: LaunchTools,
  spec: EnvironmentSpec,
  mounts: readonly HostMount[],
): LaunchPlan {
  const found = (path: string): string => {
    const mount = mounts.findLast((each) => isWithin(path, each.target))
    return mount ? join(mount.source, relative(mount.target, path)) : path
  }
  const account = { ...spec.account, home: found(spec.account.home) }
  const variables = (folder: string) => ({
    ...environmentVariables(account, spec.id, config.path, spec.variables),
    HUTCH_MOUNTS: JSON.stringify(Object.fromEntries(mounts.map(({ source, target }) => [target, source]))),
    HUTCH_MOUNTS_FOLDER: join(folder, 'mounts'),
  })
  return {
    mode: 'open',
    command: (folder) => ['/bin/sh', join(folder, 'start.sh'), ...context.agent.argv, '--config', '-'],
    sandbox: () => undefined,
    startScript: (folder) => startScript(variables(folder), { umask: config.umask, pidFile: join(folder, 'agent') }),
    links: Object.fromEntries(mounts.map(({ source, target }) => [target.slice(1).replaceAll('/', '-'), source])),
    bootstrap: ({ application, directories, ...rest }) => ({
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
