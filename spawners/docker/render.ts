/** What is wanted → what Docker is asked for. Pure: effects are in create.ts. */
import type { ContainerCreateOptions, MountSettings } from 'dockerode'
import { nodeFlags } from '../../images/agent/node-flags.ts'
import { checkAccount } from '../common/checkAccount.ts'
import { checkApplication } from '../common/checkApplication.ts'
import { checkMounts, isWithin } from '../common/checkMounts.ts'
import { checkVariables } from '../common/checkVariables.ts'
import { environmentVariables } from '../common/environmentVariables.ts'
import { ticketVariables } from '../common/ticketFiles.ts'
import { LaunchRefused, type EnvironmentSpec, type Mount } from '../spawner.ts'
import { shareLabels, type Share } from './claims.ts'
import type { DockerConfig, DockerProfile } from './config.ts'
import { label } from './names.ts'

type Spec = EnvironmentSpec<DockerProfile>

/** What only Docker's machine could tell. */
export interface Placement extends Share {
  readonly network: string
  /** Where the agent's volume or folder is. */
  readonly agent: Readonly<{ type: 'bind' | 'volume'; source: string }>
  /** The folder of the files' volume, on Docker's machine. */
  readonly files: string
}

/** Where the exported folder is seen inside, and the bootstrap. */
const agentFolder = '/opt/hutch/agent'
const bootstrapFile = '/run/hutch/bootstrap.json'
/** And the account's Kerberos tickets. */
const seenTickets = '/run/hutch/tickets'
const loaders = { x64: 'ld-linux-x86-64.so.2', arm64: 'ld-linux-aarch64.so.1' } as const
const defaultProcesses = 4_096
const cpuPeriodNs = 1e9

/** @throws LaunchRefused when it must not run here, whatever Docker would say. */
export function checkSpec(spec: Spec, config: DockerConfig): string {
  checkAccount(spec.account, { minimumUid: config.minimumUid })
  checkVariables(spec.variables)
  checkApplication(spec, { hasOwnLoopback: true, knowsImages: true })
  mountsOf(spec.mounts, config)
  if (!spec.mounts.some(({ target }) => target === spec.account.home)) {
    throw new LaunchRefused(
      `The home directory ${spec.account.home} is not among the directories. Ask your administrator.`,
    )
  }
  if (spec.protocol === 'jupyterhub') {
    throw new LaunchRefused(
      'This profile is not encrypted, and such profiles are not allowed on Docker. Ask your administrator.',
    )
  }
  if (spec.image === undefined) {
    throw new LaunchRefused('The profile names no image: Docker needs one. Ask your administrator.')
  }
  if (!imageName.test(spec.image)) {
    throw new LaunchRefused(`The name of the image is wrong: ${JSON.stringify(spec.image)}. Ask your administrator.`)
  }
  return spec.image
}

/** As Docker's reference grammar has it, without its lengths. */
const imageName =
  /^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]+)?(\/[a-z0-9]+([._-]+[a-z0-9]+)*)*(:[\w][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?$/

/** @throws LaunchRefused as checkSpec does. */
export function renderContainer(spec: Spec, config: DockerConfig, place: Placement): ContainerCreateOptions {
  const { account, profile, resources } = spec
  const memory = Math.round(resources.memoryBytes)
  return {
    Image: checkSpec(spec, config),
    // Numbers alone: what an image calls them does not matter.
    User: `${account.uid}:${account.gid}`,
    Hostname: spec.id,
    WorkingDir: '/',
    Entrypoint: agentCommand(config),
    Cmd: [],
    Env: Object.entries(variablesOf(spec, config)).map(([name, value]) => `${name}=${value}`),
    Labels: labelsOf(spec, place),
    // An image's own check would run beside the environment, as its user.
    Healthcheck: { Test: ['NONE'] },
    OpenStdin: false,
    Tty: false,
    StopTimeout: Math.ceil(config.stopGrace / 1_000),
    ...(config.publish !== undefined && { ExposedPorts: { [`${place.port}/tcp`]: {} } }),
    HostConfig: {
      GroupAdd: [...new Set(account.groups.map(({ gid }) => String(gid)))].filter((gid) => gid !== String(account.gid)),
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges'],
      Privileged: false,
      ReadonlyRootfs: !profile.writableRoot,
      Init: true,
      // What ran and ended has ended: it is never started again silently.
      RestartPolicy: { Name: 'no' },
      AutoRemove: false,
      NetworkMode: place.network,
      IpcMode: 'private',
      // No swap beside the memory: the limit is what the flavour says.
      Memory: memory,
      MemorySwap: memory,
      NanoCpus: Math.max(1, Math.round(resources.cpu * 100)) * (cpuPeriodNs / 100),
      PidsLimit: resources.processes ?? defaultProcesses,
      ShmSize: bytesOf(profile.sharedMemory),
      Tmpfs: { '/tmp': `rw,exec,nosuid,nodev,mode=1777,size=${Math.min(bytesOf(profile.temporary), memory)}` },
      LogConfig: { Type: 'json-file', Config: { 'max-size': '1m', 'max-file': '2' } },
      Mounts: [...ownMounts(place), ...ticketMounts(spec, config), ...mountsOf(spec.mounts, config)],
      ...(profile.runtime !== undefined && { Runtime: profile.runtime }),
      ...(place.gpus.length > 0 && {
        DeviceRequests: [{ Driver: 'nvidia', DeviceIDs: [...place.gpus], Capabilities: [['gpu']] }],
      }),
      ...(config.publish !== undefined && {
        PortBindings: { [`${place.port}/tcp`]: [{ HostIp: '', HostPort: String(place.port) }] },
      }),
    },
  }
}

/** No shell: an image may have none. */
function agentCommand({ agentArchitecture }: DockerConfig): string[] {
  const library = `${agentFolder}/lib`
  return [
    `${library}/${loaders[agentArchitecture]}`,
    '--library-path',
    library,
    `${agentFolder}/node`,
    ...nodeFlags,
    `${agentFolder}/agent.cjs`,
    '--config',
    bootstrapFile,
  ]
}

function labelsOf(spec: Spec, share: Placement): Record<string, string> {
  const { walltimeMs } = spec.resources
  return {
    [label.hub]: spec.hub,
    [label.environment]: spec.id,
    [label.owner]: spec.owner,
    [label.digest]: spec.digest,
    ...(walltimeMs !== undefined && { [label.walltime]: String(walltimeMs) }),
    ...shareLabels(share),
  }
}

/** PATH is the image's. */
function variablesOf(spec: Spec, { umask }: DockerConfig): Readonly<Record<string, string>> {
  const variables = environmentVariables(spec, { TMPDIR: '/tmp' })
  return { ...variables, HUTCH_UMASK: umask, ...ticketVariables(spec, seenTickets) }
}

/** The account's folder and not its file, which is another one after each renewal. */
function ticketMounts({ account, tickets }: Spec, { ticketFolder }: DockerConfig): MountSettings[] {
  if (tickets !== true || ticketFolder === undefined) return []
  return [{ Type: 'bind', Source: `${ticketFolder}/${account.uid}`, Target: seenTickets, ReadOnly: false }]
}

function ownMounts({ agent, files }: Placement): MountSettings[] {
  const file = (name: string, target: string): MountSettings => ({
    Type: 'bind',
    Source: `${files}/${name}`,
    Target: target,
    ReadOnly: true,
  })
  return [
    { Type: agent.type, Source: agent.source, Target: agentFolder, ReadOnly: true },
    file('bootstrap.json', bootstrapFile),
    file('passwd', '/etc/passwd'),
    file('group', '/etc/group'),
  ]
}

/** @throws LaunchRefused for a directory that is not Docker's to mount */
export function mountsOf(mounts: readonly Mount[], { hostRoots }: Pick<DockerConfig, 'hostRoots'>): MountSettings[] {
  return checkMounts(mounts).map(({ name, source, target, readOnly, security }) => {
    if (source.kind === 'nfs') {
      const o = `addr=${source.server},nfsvers=4,${readOnly ? 'ro' : 'rw'}${security === undefined ? '' : `,sec=${security}`}`
      const DriverConfig = { Name: 'local', Options: { type: 'nfs', o, device: `:${source.path}` } }
      // Nameless: it goes with the container. The image's content at the target is never copied to it.
      const VolumeOptions = { NoCopy: true, Labels: {}, DriverConfig }
      return { Type: 'volume', Source: '', Target: target, ReadOnly: readOnly, VolumeOptions }
    }
    if (!hostRoots.some((root) => isWithin(source.path, root))) {
      throw new LaunchRefused(
        `"${name}" can't be there: ${source.path} is below none of Docker's hostRoots. Ask your administrator.`,
      )
    }
    return { Type: 'bind', Source: source.path, Target: target, ReadOnly: readOnly }
  })
}

function bytesOf(size: string): number {
  return Number.parseInt(size, 10) * (size.endsWith('GiB') ? 2 ** 30 : 2 ** 20)
}
