/** slurmrestd's v0.0.42 (SLURM 24.11): one call each. */
import createClient from 'openapi-fetch'
import type { Cluster, Person, Submission } from '../../cluster.ts'
import { sbatchLine } from '../../submission.ts'
import { addressesOf, dataOf, healthOf, listOf, submittedOf, unlessGone } from '../answers.ts'
import { commonOf, queryOf } from '../asked.ts'
import type { Headers } from '../headers.ts'
import type { Transport } from '../transport.ts'
import { readAssociation, readDbJob, readQos } from './read.ts'
import type { components, paths } from '../generated/v0_0_42.ts'

export function createCluster(transport: Transport, headersOf: Headers, observer: Person): Cluster {
  const client = createClient<paths>({ baseUrl: transport.baseUrl, fetch: transport.fetch })

  async function cancel(person: Person, jobId: number, signal: AbortSignal): Promise<void> {
    const headers = await headersOf(person, signal)
    const params = { path: { job_id: String(jobId) } }
    await unlessGone(async () =>
      dataOf(await client.DELETE('/slurm/v0.0.42/job/{job_id}', { headers, signal, params })),
    )
  }

  return {
    system: 'SLURM',
    hasOpenScripts: false,
    lineOf: sbatchLine,

    async list(signal) {
      const headers = await headersOf(observer, signal)
      const answer = await client.GET('/slurm/v0.0.42/jobs/', { headers, signal, parseAs: 'arrayBuffer' })
      return listOf(answer, { by: 'rest', version: 'v0.0.42' })
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
      const query = queryOf(names, since)
      const { jobs } = dataOf(await client.GET('/slurmdb/v0.0.42/jobs/', { headers, signal, params: { query } }))
      return jobs.map(readDbJob)
    },

    async addresses(signal) {
      const headers = await headersOf(observer, signal)
      const { nodes } = dataOf(await client.GET('/slurm/v0.0.42/nodes/', { headers, signal }))
      return addressesOf(nodes)
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
      return healthOf(pings.some(({ pinged }) => pinged === 'UP'))
    },

    close: () => transport.close(),
  }
}

function jobOf(submission: Submission): components['schemas']['v0.0.42_job_desc_msg'] {
  const { timeLimitMinutes, gpus, gpuType } = submission
  return {
    ...commonOf(submission),
    script: submission.script,
    environment: Object.entries(submission.environment).map(([name, value]) => `${name}=${value}`),
    memory_per_node: { set: true, number: submission.memoryMegabytes },
    minimum_nodes: submission.nodes,
    maximum_nodes: submission.nodes,
    ...(timeLimitMinutes === undefined ? {} : { time_limit: { set: true, number: timeLimitMinutes } }),
    ...(gpus === 0 ? {} : { tres_per_node: `gres/gpu${gpuType === undefined ? '' : `:${gpuType}`}=${gpus}` }),
    ...(submission.exclusive ? { shared: ['none' as const] } : {}),
  }
}
