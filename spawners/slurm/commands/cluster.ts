/** A cluster by its commands: one call each. */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { quoted } from '../../common/quoted.ts'
import { ClusterRefused, type AccountingLimits, type Cluster, type Person, type Submission } from '../cluster.ts'
import { inWords, saidSo } from '../refusals.ts'
import type { Launcher } from './launcher.ts'
import { readAssociations, readQualities } from './limits.ts'
import { readJobs } from './read.ts'
import { marked } from './rows.ts'
import type { Ran, Run } from './run.ts'
import type { Template, Word } from './template.ts'
import type { Uids } from './uids.ts'
import { argvOf, type Values } from './words.ts'

export interface CommandCluster {
  readonly template: Template
  /** Where the commands are. */
  readonly folder: string
  /** What they find in their environment. */
  readonly variables: Readonly<Record<string, string>>
  readonly launcher: Launcher
  readonly run: Run
  readonly uids: Uids
  readonly now: () => Date
  /** Of jobs' names. */
  readonly prefix: string
}

const markBytes = 12

export function createCluster(options: CommandCluster): Cluster {
  const { template, folder, variables, launcher, run, uids, now, prefix } = options

  function commandOf(words: readonly Word[], values: Values): readonly string[] {
    const [program = '', ...rest] = argvOf(words, values, template)
    return [program.startsWith('/') ? program : join(folder, program), ...rest]
  }

  async function asHub(words: readonly Word[], values: Values, signal: AbortSignal): Promise<Ran> {
    return await run(commandOf(words, values), { variables, signal })
  }

  async function asUser(person: Person, argv: readonly string[], signal: AbortSignal, input = ''): Promise<Ran> {
    const launched = await launcher.as(person, argv, signal)
    const ran = await run(launched.argv, { input, variables: { ...variables, ...launched.variables }, signal })
    if (ran.code !== 0) launcher.failed(person)
    return ran
  }

  async function discard(person: Person, file: string, signal: AbortSignal): Promise<void> {
    await asUser(person, ['/usr/bin/rm', '-f', file], signal)
  }

  return {
    system: template.title,
    discard,
    hasOpenScripts: template.openScripts,
    accountingLagMs: template.lag,

    lineOf: (submission) =>
      commandOf(template.submit, valuesOf({ user: '' }, submission))
        .map((word) => (/^[A-Za-z0-9_.,:@%/+=-]+$/.test(word) ? word : quoted(word)))
        .join(' '),

    async list(signal) {
      const mark = newMark()
      const { output } = succeeded(await asHub(template.list, { mark, prefix }, signal), 'the list of jobs')
      const body = new Uint8Array(output).buffer
      return { body, reader: { by: 'command', format: template.listed, asked: { mark, at: now().getTime() } } }
    },

    async complete(digest, signal) {
      if (template.listed.fields.uid !== undefined) return digest
      const jobs = []
      for (const job of digest.jobs) jobs.push({ ...job, uid: await uids.of(job.user, signal) })
      return { ...digest, jobs }
    },

    async submit(person, submission, signal) {
      const argv = commandOf(template.submit, valuesOf(person, submission))
      const { claim } = submission
      if (claim !== undefined) {
        // An empty file that nobody else reads comes first. Nothing was submitted yet: trying again does no harm.
        for (const placing of [
          ['/usr/bin/install', '-m', '600', '/dev/null', claim.file],
          ['/usr/bin/dd', `of=${claim.file}`, 'conv=notrunc', 'status=none'],
        ]) {
          refuseUnless(await asUser(person, placing, signal, `${claim.text}\n`), "its key can't be put into its home")
        }
      }
      const ran = await asUser(person, argv, signal, submission.script)
      if (ran.code !== 0) {
        // Where the job is there all the same, it is one without its key, and ends.
        if (claim !== undefined) await discard(person, claim.file, signal)
        throw refusalOf(ran, template)
      }
      const jobId = Number(new RegExp(template.jobId).exec(ran.output.toString())?.[1])
      if (!Number.isSafeInteger(jobId) || jobId <= 0) throw new Error(`${template.title} gave no number for a job`)
      return jobId
    },

    async cancel(person, jobId, signal) {
      const ran = await asUser(person, commandOf(template.cancel, { ...person, job: jobId }), signal)
      const said = saidBy(ran)
      if (ran.code === 0 || template.gone.some((each) => new RegExp(each, 'i').test(said))) return
      throw new Error(`the job ${jobId} can't be cancelled: ${said}`)
    },

    async setTimeLimit(jobId, minutes, signal) {
      if (template.extend === undefined) throw new ClusterRefused(saidSo, 'it has no way to')
      const ran = await asHub(template.extend, { job: jobId, minutes, seconds: minutes * 60 }, signal)
      if (ran.code !== 0) throw new ClusterRefused(saidSo, firstLine(saidBy(ran)))
    },

    async finished(names, since, signal) {
      const { ended, endings, none } = template
      if (ended === undefined || endings === undefined) return []
      const mark = newMark()
      const at = since.toISOString().slice(0, 19)
      const sinceMinute = at.slice(0, 16).replaceAll(/\D/g, '')
      const ran = await asHub(ended, { mark, prefix, names: names.join(','), since: at, sinceMinute }, signal)
      if (ran.code !== 0 && none.some((each) => new RegExp(each, 'i').test(saidBy(ran)))) return []
      return readJobs(succeeded(ran, 'the accounting').output.toString(), endings, { mark, at: now().getTime() })
    },

    async addresses(signal) {
      if (template.nodes === undefined) return new Map()
      const mark = newMark()
      const { output } = succeeded(await asHub(template.nodes, { mark }, signal), 'the list of nodes')
      const rows = marked(output.toString(), ['name', 'address'], mark)
      return new Map(rows.map((row) => [row.get('name') ?? '', row.get('address') ?? '']))
    },

    ...(template.limits === undefined
      ? {}
      : {
          async limits(signal: AbortSignal): Promise<AccountingLimits> {
            const { associations = [], qos = [] } = template.limits ?? {}
            const text = async (words: readonly Word[]): Promise<string> =>
              succeeded(await asHub(words, {}, signal), "the accounting's limits").output.toString()
            return { associations: readAssociations(await text(associations)), qos: readQualities(await text(qos)) }
          },
        }),

    async ping(signal) {
      const ran = await asHub(template.check, {}, signal)
      const message = ran.code === 0 ? 'The cluster answers.' : `The cluster does not answer: ${firstLine(saidBy(ran))}`
      return { ok: ran.code === 0, message }
    },

    close: () => Promise.resolve(),
  }
}

function valuesOf({ user, uid }: Person, asked: Submission): Values {
  const { timeLimitMinutes: minutes, gpus, gpuType, environment } = asked
  return {
    user,
    uid,
    name: asked.name,
    comment: asked.comment,
    directory: asked.directory,
    output: asked.output,
    home: environment['HOME'],
    path: environment['PATH'],
    minutes,
    seconds: minutes === undefined ? undefined : minutes * 60,
    cpus: asked.cpus,
    tasks: asked.tasks,
    slots: asked.cpus * asked.tasks,
    nodes: asked.nodes === 1 ? undefined : asked.nodes,
    memoryMegabytes: asked.memoryMegabytes,
    gpus: gpus === 0 ? undefined : gpus,
    gpu: gpus === 0 ? undefined : `${gpuType === undefined ? '' : `${gpuType}:`}${gpus}`,
    partition: asked.partition,
    account: asked.account,
    qos: asked.qos,
    reservation: asked.reservation,
    constraint: asked.constraint,
    licenses: asked.licenses,
    exclusive: asked.exclusive ? '' : undefined,
  }
}

/** Never matched on elsewhere: a command has nothing but what it says. */
function refusalOf(ran: Ran, { refusals, title }: Template): Error {
  const said = saidBy(ran)
  const found = refusals.find(({ says }) => new RegExp(says, 'i').test(said))
  if (found === undefined) return new Error(`${title} did not take the job: ${said}`)
  if (found.words !== undefined) return new ClusterRefused(inWords, found.words)
  return new ClusterRefused(found.number ?? saidSo, firstLine(said))
}

function refuseUnless(ran: Ran, what: string): void {
  if (ran.code !== 0) throw new ClusterRefused(notYet, `${what}: ${firstLine(saidBy(ran))}`)
}

/** SLURM's own for what passes (ESLURM_INTERNAL): it is tried again. */
const notYet = 2_016

function succeeded(ran: Ran, what: string): Ran {
  if (ran.code !== 0) throw new Error(`${what} can't be had: ${saidBy(ran)}`)
  return ran
}

function saidBy({ said, output }: Ran): string {
  return said === '' ? output.subarray(0, 1_000).toString().trim() : said
}

function firstLine(text: string): string {
  return (text.split('\n', 1)[0] ?? '').slice(0, 300)
}

function newMark(): string {
  return `~${randomBytes(markBytes).toString('hex')}~`
}
