/** What only one environment may have at a time, told by the labels of those that are there. Pure. */
import { LaunchRefused, type Resources } from '../spawner.ts'
import type { DockerConfig } from './config.ts'
import { label } from './names.ts'

export interface Labelled {
  readonly labels: Readonly<Record<string, string>>
  readonly status: string
}

export interface Share {
  readonly gpus: readonly string[]
  /** Where its agent listens: the same for all, or one of its own where ports are published. */
  readonly port: number
}

/** @throws LaunchRefused when there is not enough left. */
export function shareOf(config: DockerConfig, resources: Resources, others: readonly Labelled[]): Share {
  return { gpus: freeGpus(config.gpus, resources, others), port: freePort(config, others) }
}

export function shareLabels({ gpus, port }: Share): Record<string, string> {
  return { [label.port]: String(port), ...(gpus.length > 0 && { [label.gpus]: gpus.join(',') }) }
}

function freeGpus(
  all: DockerConfig['gpus'],
  { gpus, gpuType }: Pick<Resources, 'gpus' | 'gpuType'>,
  others: readonly Labelled[],
): readonly string[] {
  if (gpus === 0) return []
  const fitting = all.filter(({ type }) => gpuType === undefined || type === undefined || type === gpuType)
  const kind = gpuType === undefined ? 'GPUs' : `GPUs of the type ${gpuType}`
  if (fitting.length < gpus) {
    throw new LaunchRefused(`This machine has ${fitting.length} ${kind}, not ${gpus}: choose another size.`)
  }
  const taken = new Set(others.filter(holds).flatMap(({ labels }) => (labels[label.gpus] ?? '').split(',')))
  const free = fitting.filter(({ id }) => !taken.has(id))
  if (free.length < gpus) {
    throw new LaunchRefused(`All ${kind} are in use: ${free.length} of ${fitting.length} are free. Try again later.`)
  }
  return free.slice(0, gpus).map(({ id }) => id)
}

function freePort({ publish, agentPort }: DockerConfig, others: readonly Labelled[]): number {
  if (publish === undefined) return agentPort
  const [from, to] = publish.ports
  const taken = new Set(others.filter(holds).map(({ labels }) => Number(labels[label.port])))
  for (let port = from; port <= to; port += 1) if (!taken.has(port)) return port
  throw new LaunchRefused(`All ports from ${from} to ${to} are in use. Try again later, or ask your administrator.`)
}

/** What has ended holds nothing. */
function holds({ status }: Labelled): boolean {
  return status !== 'exited' && status !== 'dead'
}
