/** A spec as what is asked of SLURM, and as the sbatch line that would ask the same. Pure. */
import { posix } from 'node:path'
import { checkAccount } from '../common/checkAccount.ts'
import { checkApplication } from '../common/checkApplication.ts'
import { checkProtocol } from '../common/checkProtocol.ts'
import { checkMounts, nearestFolder } from '../common/checkMounts.ts'
import { checkVariables } from '../common/checkVariables.ts'
import { environmentVariables } from '../common/environmentVariables.ts'
import { quoted } from '../common/quoted.ts'
import { LaunchRefused, type EnvironmentSpec, type Mount } from '../spawner.ts'
import type { Submission } from './cluster.ts'
import type { JobsConfig, SlurmProfile } from './config.ts'
import { containerLines, type Bind } from './containers.ts'
import type { Names } from './names.ts'
import { jobScript } from './script.ts'

export interface SubmissionParts {
  readonly spec: EnvironmentSpec<SlurmProfile>
  readonly config: JobsConfig
  readonly names: Names
  /** What the agent is given to ask for its bootstrap: one line of JSON. */
  readonly claim: string
  /** Where everybody may read scripts, the claim goes into a file. */
  readonly hasOpenScripts: boolean
}

/** @throws LaunchRefused when it can never run. */
export function submissionOf({ spec, config, names, claim, hasOpenScripts }: SubmissionParts): Submission {
  const { id, account, profile, resources, owner, digest } = spec
  checkAccount(account, { minimumUid: config.minimumUid })
  checkVariables(spec.variables)
  checkProtocol(spec, config.allowUnencrypted)
  checkApplication(spec, { hasOwnLoopback: false, knowsImages: false })
  const mounts = checkMounts(spec.mounts)
  const { nodes, tasks, partition, qos, reservation, constraint, licenses, exclusive } = profile
  const variables = environmentVariables(spec, { PATH: config.path.join(':'), TMPDIR: config.localFolder })
  const claimFile = `${account.home}/.hutch-${id}.key`
  const script = jobScript({
    shell: config.shell,
    umask: config.umask,
    variables,
    prolog: [...config.prolog, ...profile.prolog],
    container: containerLines({
      container: profile.container,
      account,
      binds: bindsOf(mounts, config, profile),
      agentFolder: config.agentFolder,
      gpus: resources.gpus,
    }),
    claim: hasOpenScripts ? { file: claimFile } : { text: claim },
  })
  return {
    name: names.nameOf(id, account.uid),
    comment: names.commentOf(id, { owner, digest }),
    script,
    ...(hasOpenScripts ? { claim: { file: claimFile, text: claim } } : {}),
    directory: account.home,
    output: outputOf(spec, config),
    // SLURM wants some, and sets none of its own for a job that comes over REST. The rest is in the script.
    environment: { PATH: config.path.join(':'), HOME: account.home, USER: account.name },
    timeLimitMinutes: resources.walltimeMs === undefined ? undefined : Math.ceil(resources.walltimeMs / 60_000),
    cpus: Math.ceil(resources.cpu),
    memoryMegabytes: Math.ceil(resources.memoryBytes / 2 ** 20),
    gpus: resources.gpus,
    account: profile.account,
    nodes,
    tasks: Math.max(tasks, nodes),
    gpuType: resources.gpuType,
    partition,
    qos,
    reservation,
    constraint,
    licenses,
    exclusive,
  }
}

/** The path of what it prints. */
export function outputOf({ id, account }: OutputOf, config: JobsConfig): string {
  const template = config.output ?? '{home}/.hutch-{id}.out'
  return template.replaceAll('{user}', account.name).replaceAll('{home}', account.home).replaceAll('{id}', id)
}

interface OutputOf {
  readonly id: string
  readonly account: Readonly<{ name: string; home: string }>
}

/** For the curious: what they would type. Without the script, which holds the claim. */
export function sbatchLine(asked: Submission): string {
  const options: readonly (readonly [name: string, value: string | number | undefined])[] = [
    ['job-name', asked.name],
    ['partition', asked.partition],
    ['account', asked.account],
    ['qos', asked.qos],
    ['reservation', asked.reservation],
    ['constraint', asked.constraint],
    ['licenses', asked.licenses],
    ['nodes', asked.nodes === 1 ? undefined : asked.nodes],
    ['ntasks', asked.tasks],
    ['cpus-per-task', asked.cpus],
    ['mem', `${asked.memoryMegabytes}M`],
    [
      'gres',
      asked.gpus === 0 ? undefined : `gpu:${asked.gpuType === undefined ? '' : `${asked.gpuType}:`}${asked.gpus}`,
    ],
    ['time', asked.timeLimitMinutes],
    ['chdir', asked.directory],
    ['output', asked.output.replaceAll('%', '%%')],
  ]
  const words = options.flatMap(([name, value]) => (value === undefined ? [] : [`--${name}=${plain(String(value))}`]))
  return ['sbatch', ...words, ...(asked.exclusive ? ['--exclusive'] : []), 'SCRIPT'].join(' ')
}

function plain(text: string): string {
  return /^[A-Za-z0-9_.,:@%/+=-]+$/.test(text) ? text : quoted(text)
}

/** What is asked in a container must be found there; without one nothing is mounted, so it must be there by itself. */
function bindsOf(mounts: readonly Mount[], config: JobsConfig, { container }: SlurmProfile): readonly Bind[] {
  return mounts.map(({ name, source, target, readOnly }) => {
    const path = source.kind === 'host' ? source.path : mountedAt(name, `${source.server}:${source.path}`, config.nfs)
    if (container === undefined && path !== target) {
      throw new LaunchRefused(
        `"${name}" can't be at ${target}: without a container it is at ${path} on the nodes. Ask your administrator.`,
      )
    }
    for (const each of [path, target]) {
      // Charliecloud and Apptainer take source:target in one word.
      if (container !== undefined && container.type !== 'bubblewrap' && /[:,]/.test(each)) {
        throw new LaunchRefused(`"${name}" can't be there: its path ${each} has a colon or a comma.`)
      }
    }
    return { source: path, target, readOnly }
  })
}

function mountedAt(name: string, path: string, nfs: JobsConfig['nfs']): string {
  const exported = nearestFolder(path, Object.keys(nfs))
  const mounted = exported === undefined ? undefined : nfs[exported]
  if (exported === undefined || mounted === undefined) {
    throw new LaunchRefused(
      `"${name}" can't be there: ${path} is not mounted on the nodes (the spawner's \`nfs\` does not list it).`,
    )
  }
  return posix.join(mounted, path.slice(exported.length))
}
