import type { SpawnerType } from '../spawner.ts'
import { ClusterRefused, type Cluster, type Person } from './cluster.ts'
import { optionsOf, withChosen } from './choices.ts'
import { configSchema, profileSchema, type SlurmConfig, type SlurmProfile } from './config.ts'
import { createSlurm } from './create.ts'
import type { Headers } from './rest/headers.ts'
import { createTransport } from './rest/transport.ts'
import { createCluster as create38 } from './rest/v0_0_38/cluster.ts'
import { createCluster as create42 } from './rest/v0_0_42/cluster.ts'
import { createTokens, type Tokens } from './tokens.ts'

/** Environments as jobs of SLURM, through slurmrestd. */
const slurm: SpawnerType<SlurmConfig, SlurmProfile> = {
  type: 'slurm',
  configSchema,
  profileSchema,
  launchOptions: { of: optionsOf, choose: withChosen },
  async create(config, context) {
    return createSlurm(config, context, restCluster(config, createTokens(config.tokens, context.now)))
  },
}
export default slurm

const clusters = { 'v0.0.38': create38, 'v0.0.42': create42 } as const

export function restCluster(config: SlurmConfig, tokens: Tokens): Cluster {
  const headersOf: Headers = async (person, signal) => ({
    'X-SLURM-USER-NAME': person.user,
    'X-SLURM-USER-TOKEN': await tokens.of(person, signal),
  })
  const observer: Person = { user: config.observer }
  const cluster = clusters[config.version](createTransport(config.endpoint), headersOf, observer)
  return {
    ...cluster,
    list: (signal) => renewing(observer, () => cluster.list(signal)),
    submit: (person, submission, signal) => renewing(person, () => cluster.submit(person, submission, signal)),
    cancel: (person, jobId, signal) => renewing(person, () => cluster.cancel(person, jobId, signal)),
  }

  /** A token that SLURM does not like looks like any trouble: the next try gets a new one. */
  async function renewing<T>(person: Person, call: () => Promise<T>): Promise<T> {
    try {
      return await call()
    } catch (error) {
      if (error instanceof ClusterRefused && error.number < 2_000) tokens.forget(person)
      throw error
    }
  }
}
