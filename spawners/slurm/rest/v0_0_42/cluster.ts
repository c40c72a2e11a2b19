/** slurmrestd's v0.0.42 (SLURM 24.11): one call each. */
import createClient from 'openapi-fetch'
import { ClusterRefused, type Cluster, type Person, type Submission } from '../../cluster.ts'
import { isDone, isNoJob } from '../../refusals.ts'
import { sbatchLine } from '../../submission.ts'
import { dataOf, plainOutput, submittedOf } from '../answers.ts'
import type { Headers } from '../headers.ts'
import type { Transport } from '../transport.ts'
import { readAssociation, readDbJob, readQos } from './read.ts'
import type { components, paths } from '../generated/v0_0_42.ts'

export function createCluster(transport: Transport, headersOf: Headers, observer: Person): Cluster {
  const client = createClient<paths>({ baseUrl: transport.baseUrl, fetch: transport.fetch })

  async function cancel(person: Person, jobId: number, signal: AbortSignal): Promise<void> {
    const headers = await headersOf(person, signal)
    const params = { path: { job_id: String(jobId) } }
    try {
      dataOf(await client.DELETE('/slurm/v0.0.42/job/{job_id}', { headers, signal, params }))
    } catch (error) {
      if (!(error instanceof ClusterRefused) || !(isNoJob(error) || isDone(error))) throw error
    }
  }

  return {
    system: 'SLURM',
    hasOpenScripts: false,
    lineOf: sbatchLine,

    async list(signal) {
      const headers = await headersOf(observer, signal)
      const answer = await client.GET('/slurm/v0.0.42/jobs/', { headers, signal, parseAs: 'arrayBuffer' })
      if (answer.error !== undefined) dataOf(answer)
      if (answer.data === undefined) throw new Error(`slurmrestd answered with ${answer.response.status}`)
      return { body: answer.data, reader: { by: 'rest', version: 'v0.0.42' } }
    },

    async submit(person, submission, signal) {
      const headers = await headersOf(person, signal)
      const body = { job: jobOf(submission) }
      const answer = await client.POST('/slurm/v0.0.42/job/submit', { headers, signal, body })
      return await submittedOf(answer, (jobId) => cancel(person, jobId, signal))
    },

    cancel,

    async setTimeLimit(jobId, minutes, signal) {
      const headers = await headersOf(observer, signal)
      const params = { path: { job_id: String(jobId) } }
      const body = { time_limit: { set: true, number: minutes } }
      dataOf(await client.POST('/slurm/v0.0.42/job/{job_id}', { headers, signal, params, body }))
    },

    async finished(names, since, signal) {
      const headers = await headersOf(observer, signal)
      const query = { job_name: names.join(','), start_time: `uts${Math.floor(since.getTime() / 1_000)}` }
      const { jobs } = dataOf(await client.GET('/slurmdb/v0.0.42/jobs/', { headers, signal, params: { query } }))
      return jobs.map(readDbJob)
    },

    async addresses(signal) {
      const headers = await headersOf(observer, signal)
      const { nodes } = dataOf(await client.GET('/slurm/v0.0.42/nodes/', { headers, signal }))
      return new Map(nodes.map(({ name = '', address, hostname }) => [name, address ?? hostname ?? name]))
    },

    async limits(signal) {
      const headers = await headersOf(observer, signal)
      const associations = dataOf(await client.GET('/slurmdb/v0.0.42/associations/', { headers, signal }))
      const qos = dataOf(await client.GET('/slurmdb/v0.0.42/qos/', { headers, signal }))
      return {
        associations: (associations.associations ?? []).map(readAssociation),
        qos: (qos.qos ?? []).map(readQos),
      }
    },

    async ping(signal) {
      const headers = await headersOf(observer, signal)
      const { pings } = dataOf(await client.GET('/slurm/v0.0.42/ping/', { headers, signal }))
      const ok = pings.some(({ pinged }) => pinged === 'UP')
      return { ok, message: ok ? 'The cluster answers.' : "The cluster's controller does not answer." }
    },

    close: () => transport.close(),
  }
}

function jobOf(submission: Submission): components['schemas']['v0.0.42_job_desc_msg'] {
  const { timeLimitMinutes, gpus, gpuType, partition, account, qos, reservation, constraint, licenses } = submission
  return {
    script: submission.script,
    name: submission.name,
    comment: submission.comment,
    dependency: 'singleton',
    environment: Object.entries(submission.environment).map(([name, value]) => `${name}=${value}`),
    current_working_directory: submission.directory,
    standard_output: plainOutput(submission.output),
    tasks: submission.tasks,
    cpus_per_task: submission.cpus,
    memory_per_node: { set: true, number: submission.memoryMegabytes },
    minimum_nodes: submission.nodes,
    maximum_nodes: submission.nodes,
    ...(timeLimitMinutes === undefined ? {} : { time_limit: { set: true, number: timeLimitMinutes } }),
    ...(gpus === 0 ? {} : { tres_per_node: `gres/gpu${gpuType === undefined ? '' : `:${gpuType}`}=${gpus}` }),
    ...(partition === undefined ? {} : { partition }),
    ...(account === undefined ? {} : { account }),
    ...(qos === undefined ? {} : { qos }),
    ...(reservation === undefined ? {} : { reservation }),
    ...(constraint === undefined ? {} : { constraints: constraint }),
    ...(licenses === undefined ? {} : { licenses }),
    ...(submission.exclusive ? { shared: ['none' as const] } : {}),
  }
}
