/** slurmrestd's v0.0.38 (SLURM 22.05): one call each. */
import createClient from 'openapi-fetch'
import type { Cluster, Person, Submission } from '../../cluster.ts'
import { sbatchLine } from '../../submission.ts'
import { addressesOf, dataOf, healthOf, listOf, submittedOf, unlessGone } from '../answers.ts'
import { commonOf, queryOf } from '../asked.ts'
import type { Headers } from '../headers.ts'
import type { Transport } from '../transport.ts'
import { readAssociation, readDbJob, readQos } from './read.ts'
import type { components, paths } from '../generated/v0_0_38.ts'

export function createCluster(transport: Transport, headersOf: Headers, observer: Person): Cluster {
  const client = createClient<paths>({ baseUrl: transport.baseUrl, fetch: transport.fetch })

  async function cancel(person: Person, jobId: number, signal: AbortSignal): Promise<void> {
    const headers = await headersOf(person, signal)
    const params = { path: { job_id: String(jobId) } }
    await unlessGone(async () => {
      // No document where it succeeds.
      const answer = await client.DELETE('/slurm/v0.0.38/job/{job_id}', { headers, signal, params, parseAs: 'text' })
      if (!answer.response.ok) dataOf({ response: answer.response, error: parsed(answer.error) })
    })
  }

  return {
    system: 'SLURM',
    hasOpenScripts: false,
    lineOf: sbatchLine,

    async list(signal) {
      const headers = await headersOf(observer, signal)
      const answer = await client.GET('/slurm/v0.0.38/jobs', { headers, signal, parseAs: 'arrayBuffer' })
      return listOf(answer, { by: 'rest', version: 'v0.0.38' })
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
      const query = queryOf(names, since)
      const { jobs = [] } = dataOf(await client.GET('/slurmdb/v0.0.38/jobs', { headers, signal, params: { query } }))
      return jobs.map(readDbJob)
    },

    async addresses(signal) {
      const headers = await headersOf(observer, signal)
      const { nodes = [] } = dataOf(await client.GET('/slurm/v0.0.38/nodes', { headers, signal }))
      return addressesOf(nodes)
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
      return healthOf(pings.some(({ ping }) => ping === 'UP'))
    },

    close: () => transport.close(),
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
  const { timeLimitMinutes, gpus, gpuType } = submission
  return {
    ...commonOf(submission),
    environment: { ...submission.environment },
    memory_per_node: submission.memoryMegabytes,
    nodes: `${submission.nodes}-${submission.nodes}`,
    ...(timeLimitMinutes === undefined ? {} : { time_limit: timeLimitMinutes }),
    ...(gpus === 0 ? {} : { gres: `gpu:${gpuType === undefined ? '' : `${gpuType}:`}${gpus}` }),
    ...(submission.exclusive ? { exclusive: 'exclusive' as const } : {}),
  }
}
