/** What a launch would do, worked out and checked before anything is made: a refusal leaves nothing behind. */
import { lstat, realpath, stat } from 'node:fs/promises'
import { dirname, isAbsolute, join, relative } from 'node:path'
import type { AgentBootstrap } from '../../images/agent/bootstrap.ts'
import { checkAccount } from '../common/checkAccount.ts'
import { checkApplication } from '../common/checkApplication.ts'
import { checkMounts, isWithin } from '../common/checkMounts.ts'
import { checkVariables } from '../common/checkVariables.ts'
import { environmentVariables } from '../common/environmentVariables.ts'
import { ticketVariables, type TicketFiles } from '../common/ticketFiles.ts'
import { LaunchRefused, type EnvironmentSpec, type SpawnerContext } from '../spawner.ts'
import type { LocalConfig, LocalProfile } from './config.ts'
import { launchProblem, type Machine } from './machine.ts'
import { findMounts } from './mounts.ts'
import { openPlan } from './open.ts'
import { agentLine, plainApplication } from './plain.ts'
import { innerCommand, sandboxArguments, seenTickets, startScript, type HostMount, type SandboxView } from './render.ts'

export interface LaunchTools {
  readonly config: LocalConfig
  readonly context: SpawnerContext
  readonly machine: Machine
  readonly tickets: TicketFiles
}

/** `folder` is that of the attempt. */
export interface LaunchPlan {
  readonly mode: 'sandboxed' | 'open'
  readonly command: (folder: string, port: number) => readonly string[]
  /** What bubblewrap is told; undefined: there is no sandbox. */
  readonly sandbox: (folder: string, cgroups: readonly string[]) => readonly string[] | undefined
  /** `port`: where an application without an agent is to listen. */
  readonly startScript: (folder: string, port: number) => string
  /** Name → what it leads to, in the attempt's folder. */
  readonly links: Readonly<Record<string, string>>
  /** The line of standard input that starts it: the agent's bootstrap, or secrets for an application without one. */
  readonly line: (bootstrap: AgentBootstrap) => string
  readonly needsPort: boolean
}

/** @throws LaunchRefused when it can never run here. */
export async function planLaunch(tools: LaunchTools, spec: EnvironmentSpec<LocalProfile>): Promise<LaunchPlan> {
  const { config, context, machine } = tools
  if (spec.hub !== context.hub) throw new Error(`a bug: ${spec.id} is of the hub ${spec.hub}`)
  const problem = launchProblem(machine, config)
  if (problem !== undefined) throw new LaunchRefused(`This machine can't be used: ${problem}.`)
  checkWho(tools, spec)
  checkVariables(spec.variables)
  checkApplication(spec, { hasOwnLoopback: false, knowsImages: false })
  if (spec.resources.gpus > 0)
    throw new LaunchRefused('This machine has no GPUs for environments: choose another size.')
  const mounts = await findMounts(tools, checkMounts(spec.mounts))
  const plain = plainApplication(tools, spec)
  const { bubblewrap } = machine
  if (bubblewrap === undefined) return openPlan(tools, spec, mounts, plain)

  const { root } = machine
  const agentFolder = await realpath(context.agent.folder)
  const agentArgv = await Promise.all(context.agent.argv.map((argument) => resolved(argument)))
  const readOnlyPaths = await Promise.all(
    config.readOnlyPaths.map(async (target) => ({ source: await resolved(target), target, readOnly: true })),
  )
  const shown = [...machine.layout.folders, ...machine.layout.links.map((link) => link.path), ...config.readOnlyPaths]
  const programs = agentArgv.filter(
    (path) => isAbsolute(path) && ![agentFolder, ...shown].some((folder) => isWithin(path, folder)),
  )
  await checkMountPoints([...mounts, ...readOnlyPaths], root)
  const view: Omit<SandboxView, 'runFolder' | 'cgroups'> = {
    root,
    layout: machine.layout,
    account: spec.account,
    mounts,
    readOnlyPaths,
    agentFolder,
    programs: [...new Set(programs)],
    ...(spec.tickets ? { tickets: tools.tickets.folderOf(spec.account) } : {}),
    hidden: await privateFolders(await realpath(context.stateFolder)),
    temporaryBytes: Math.floor(spec.resources.memoryBytes / 2),
  }
  return {
    mode: 'sandboxed',
    command: (_folder, port) => [
      bubblewrap,
      '--args',
      '3',
      '--',
      ...innerCommand(view, plain?.argv(port) ?? [...agentArgv, '--config', '-']),
    ],
    sandbox: (runFolder, cgroups) => sandboxArguments({ ...view, runFolder, cgroups }),
    startScript: (_folder, port) =>
      startScript(
        {
          ...environmentVariables(
            { ...spec, variables: { ...spec.variables, ...plain?.variables(port) } },
            { PATH: config.path.join(':'), TMPDIR: '/tmp' },
          ),
          ...ticketVariables(spec, seenTickets),
        },
        {
          umask: config.umask,
          ...plain?.script,
        },
      ),
    links: {},
    line: (bootstrap) => plain?.line ?? agentLine(bootstrap),
    needsPort: plain !== undefined,
  }
}

/** Without root everything is the hub's own user, whatever it is called. */
function checkWho({ machine, config }: LaunchTools, { account, mounts }: EnvironmentSpec): void {
  if (!mounts.some((mount) => mount.target === account.home)) {
    throw new LaunchRefused(`The home directory ${account.home} is not among the directories. Ask your administrator.`)
  }
  if (machine.root) {
    checkAccount(account, { minimumUid: config.minimumUid })
    return
  }
  checkAccount(account, { ownUid: machine.uid })
  const foreign = [account.gid, ...account.groups.map((group) => group.gid)].find(
    (gid) => gid !== machine.gid && !machine.groups.includes(gid),
  )
  if (account.uid !== machine.uid || account.gid !== machine.gid || foreign !== undefined) {
    throw new LaunchRefused(
      `The hub runs without root, so it can launch as uid ${machine.uid} and in its own groups only, ` +
        `not as uid ${account.uid}, gid ${foreign ?? account.gid}. Ask your administrator.`,
    )
  }
}

/**
 * What lies in another mount needs a place there. bubblewrap would make it, as root and wherever a link leads, in a
 * directory that a user may write: so it must be there already.
 */
async function checkMountPoints(mounts: readonly HostMount[], root: boolean): Promise<void> {
  for (const [index, { target }] of mounts.entries()) {
    const outer = mounts.slice(0, index).findLast((mount) => isWithin(target, mount.target))
    if (!outer || !(root || outer.readOnly)) continue
    let path = join(outer.source, relative(outer.target, target))
    for (; path !== outer.source; path = dirname(path)) {
      const entry = await lstat(path).catch(() => undefined)
      if (!entry?.isDirectory()) {
        throw new LaunchRefused(`${target} can't be mounted: there must be a directory for it (${path}) first.`)
      }
    }
  }
}

async function resolved(argument: string): Promise<string> {
  return isAbsolute(argument) ? await realpath(argument).catch(() => argument) : argument
}

/** The state folder and those above it that are private as well, the outermost first: the hub's state, as a rule. */
async function privateFolders(stateFolder: string): Promise<readonly string[]> {
  const folders = [stateFolder]
  for (let path = dirname(stateFolder); path !== '/'; path = dirname(path)) {
    if (((await stat(path)).mode & 0o077) === 0) folders.unshift(path)
  }
  return folders
}
