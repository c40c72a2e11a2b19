/** slurmrestd's v0.0.38 (SLURM 22.05): one call each. */
import createClient from 'openapi-fetch'
import type { Cluster, Person, Submission } from '../../cluster.ts'
import { ClusterRefused } from '../../cluster.ts'
import { isDone, isNoJob } from '../../refusals.ts'
import { sbatchLine } from '../../submission.ts'
import { dataOf, plainOutput, submittedOf } from '../answers.ts'
import type { Headers } from '../headers.ts'
import type { Transport } from '../transport.ts'
import { readAssociation, readDbJob, readQos } from './read.ts'
import type { components, paths } from '../generated/v0_0_38.ts'

export function createCluster(transport: Transport, headersOf: Headers, observer: Person): Cluster {
  const client = createClient<paths>({ baseUrl: transport.baseUrl, fetch: transport.fetch })

  async function cancel(person: Person, jobId: number, signal: AbortSignal): Promise<void> {
    const headers = await headersOf(person, signal)
    const params = { path: { job_id: String(jobId) } }
    const answer = await client.DELETE('/slurm/v0.0.38/job/{job_id}', { headers, signal, params, parseAs: 'text' })
    refuseUnlessGone(answer)
  }

  return {
    system: 'SLURM',
    hasOpenScripts: false,
    lineOf: sbatchLine,

    async list(signal) {
      const headers = await headersOf(observer, signal)
      const answer = await client.GET('/slurm/v0.0.38/jobs', { headers, signal, parseAs: 'arrayBuffer' })
      if (answer.error !== undefined) dataOf(answer)
      if (answer.data === undefined) throw new Error(`slurmrestd answered with ${answer.response.status}`)
      return { body: answer.data, reader: { by: 'rest', version: 'v0.0.38' } }
    },

    async submit(person, submission, signal) {
      const headers = await headersOf(person, signal)
      const body = { script: submission.script, job: jobOf(submission) }
      const answer = await client.POST('/slurm/v0.0.38/job/submit', { headers, signal, body })
      return await submittedOf(answer, (jobId) => cancel(person, jobId, signal))
    },

    cancel,

    async setTimeLimit(jobId, minutes, signal) {
      const headers = await headersOf(observer, signal)
      const params = { path: { job_id: String(jobId) } }
      const body = { time_limit: minutes } as components['schemas']['v0.0.38_job_properties']
      const answer = await client.POST('/slurm/v0.0.38/job/{job_id}', {
        headers,
        signal,
        params,
        body,
        parseAs: 'text',
      })
      if (!answer.response.ok) dataOf({ response: answer.response, error: answer.error })
    },

    async finished(names, since, signal) {
      const headers = await headersOf(observer, signal)
      const query = { job_name: names.join(','), start_time: `uts${Math.floor(since.getTime() / 1_000)}` }
      const { jobs = [] } = dataOf(await client.GET('/slurmdb/v0.0.38/jobs', { headers, signal, params: { query } }))
      return jobs.map(readDbJob)
    },

    async addresses(signal) {
      const headers = await headersOf(observer, signal)
      const { nodes = [] } = dataOf(await client.GET('/slurm/v0.0.38/nodes', { headers, signal }))
      return new Map(nodes.map(({ name = '', address, hostname }) => [name, address ?? hostname ?? name]))
    },

    async limits(signal) {
      const headers = await headersOf(observer, signal)
      const associations = dataOf(await client.GET('/slurmdb/v0.0.38/associations', { headers, signal }))
      const qos = dataOf(await client.GET('/slurmdb/v0.0.38/qos', { headers, signal }))
      return {
        associations: (associations.associations ?? []).map(readAssociation),
        qos: (qos.QOS ?? []).map(readQos),
      }
    },

    async ping(signal) {
      const headers = await headersOf(observer, signal)
      const { pings = [] } = dataOf(await client.GET('/slurm/v0.0.38/ping', { headers, signal }))
      const ok = pings.some(({ ping }) => ping === 'UP')
      return { ok, message: ok ? 'The cluster answers.' : "The cluster's controller does not answer." }
    },

    close: () => transport.close(),
  }
}

function refuseUnlessGone(answer: { error?: unknown; response: Response }): void {
  if (answer.response.ok) return
  try {
    dataOf({ response: answer.response, error: parsed(answer.error) })
  } catch (error) {
    if (error instanceof ClusterRefused && (isNoJob(error) || isDone(error))) return
    throw error
  }
}

function parsed(error: unknown): unknown {
  if (typeof error !== 'string') return error
  try {
    return JSON.parse(error)
  } catch {
    return undefined // no document of SLURM's: the status alone tells
  }
}

/** Never `requeue`, which this version takes for the opposite, nor `argv`, which ends slurmrestd. */
function jobOf(submission: Submission): components['schemas']['v0.0.38_job_properties'] {
  const { timeLimitMinutes, gpus, gpuType, partition, account, qos, reservation, constraint, licenses } = submission
  return {
    name: submission.name,
    comment: submission.comment,
    dependency: 'singleton',
    environment: { ...submission.environment },
    current_working_directory: submission.directory,
    standard_output: plainOutput(submission.output),
    tasks: submission.tasks,
    cpus_per_task: submission.cpus,
    memory_per_node: submission.memoryMegabytes,
    nodes: [submission.nodes, submission.nodes],
    ...(timeLimitMinutes === undefined ? {} : { time_limit: timeLimitMinutes }),
    ...(gpus === 0 ? {} : { gres: `gpu:${gpuType === undefined ? '' : `${gpuType}:`}${gpus}` }),
    ...(partition === undefined ? {} : { partition }),
    ...(account === undefined ? {} : { account }),
    ...(qos === undefined ? {} : { qos }),
    ...(reservation === undefined ? {} : { reservation }),
    ...(constraint === undefined ? {} : { constraints: constraint }),
    ...(licenses === undefined ? {} : { licenses }),
    ...(submission.exclusive ? { exclusive: 'exclusive' as const } : {}),
  }
}
