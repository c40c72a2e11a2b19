/**
 * What this hub asked of SLURM, on disk, so that a submit whose answer was lost is looked for before it is made again:
 *
 *     <state folder>/<id>.asked      before a submit; one of several racing calls alone can make it
 *     <state folder>/<id>.job        its answer: the job's id; never changed
 *     <state folder>/<id>.removed    it was removed: what SLURM goes on telling of it is not told any more
 */
import { link, readdir, readFile, rename, rm, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { isEnvironmentId, type EnvironmentId } from '../spawner.ts'

const askedSchema = z.strictObject({
  version: z.literal(1),
  user: z.string(),
  uid: z.int(),
  /** ms since the epoch: whatever was asked for has been answered, or its answer is lost, after this. */
  until: z.int(),
})
const jobSchema = z.strictObject({
  version: z.literal(1),
  user: z.string(),
  uid: z.int(),
  jobId: z.int().positive(),
  submittedAt: z.int(),
  owner: z.string().optional(),
  digest: z.string().optional(),
  /** Where its key was put. */
  keyFile: z.string().optional(),
})

type Asked = z.infer<typeof askedSchema>
type JobRecord = z.infer<typeof jobSchema>

export interface Records {
  job(id: EnvironmentId): Promise<JobRecord | undefined>
  asked(id: EnvironmentId): Promise<Asked | undefined>
  isRemoved(id: EnvironmentId): Promise<boolean>
  /** False: somebody else asks just now. */
  ask(id: EnvironmentId, asked: Omit<Asked, 'version'>): Promise<boolean>
  /** Its answer is lost: from `until` on it may be looked for. */
  lose(id: EnvironmentId, asked: Omit<Asked, 'version'>): Promise<void>
  /** It came to nothing. */
  unask(id: EnvironmentId): Promise<void>
  answer(id: EnvironmentId, job: Omit<JobRecord, 'version'>): Promise<void>
  remove(id: EnvironmentId): Promise<void>
  /** Everything of it. */
  forget(id: EnvironmentId): Promise<void>
  /** In one look. */
  all(): Promise<Readonly<{ jobs: readonly EnvironmentId[]; removed: ReadonlySet<EnvironmentId> }>>
}

/** `random`: a name for a draft, new each time. */
export function createRecords(folder: string, random: () => string): Records {
  const path = (id: EnvironmentId, kind: Kind): string => join(folder, `${id}.${kind}`)

  async function draft(text: string): Promise<string> {
    const file = join(folder, `.draft-${random()}`)
    await writeFile(file, text, { mode: 0o600, flush: true })
    return file
  }

  return {
    job: (id) => read(path(id, 'job'), jobSchema),
    asked: (id) => read(path(id, 'asked'), askedSchema),
    isRemoved: async (id) => (await readOr(path(id, 'removed'))) !== undefined,
    async ask(id, asked) {
      const file = await draft(JSON.stringify({ version: 1, ...asked }))
      try {
        await link(file, path(id, 'asked'))
        return true
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
        throw error
      } finally {
        await unlink(file)
      }
    },
    async lose(id, asked) {
      await rename(await draft(JSON.stringify({ version: 1, ...asked })), path(id, 'asked'))
    },
    async unask(id) {
      // Renamed first: of two who find it out of date, one alone takes it away.
      const file = join(folder, `.draft-${random()}`)
      await rename(path(id, 'asked'), file).catch(orMissing)
      await rm(file, { force: true })
    },
    async answer(id, job) {
      await rename(await draft(JSON.stringify({ version: 1, ...job })), path(id, 'job'))
    },
    async remove(id) {
      await writeFile(path(id, 'removed'), '', { mode: 0o600 })
    },
    async forget(id) {
      for (const kind of ['asked', 'job', 'removed'] as const) await rm(path(id, kind), { force: true })
    },
    async all() {
      const names = (await readdir(folder)).map((name) => name.split('.'))
      const of = (wanted: Kind): EnvironmentId[] =>
        names.flatMap(([id = '', kind]) => (kind === wanted && isEnvironmentId(id) ? [id] : []))
      return { jobs: of('job'), removed: new Set(of('removed')) }
    },
  }
}

type Kind = 'asked' | 'job' | 'removed'

async function read<T>(path: string, schema: z.ZodType<T>): Promise<T | undefined> {
  const text = await readOr(path)
  return text === undefined ? undefined : schema.parse(JSON.parse(text))
}

async function readOr(path: string): Promise<string | undefined> {
  return await readFile(path, 'utf8').catch(orMissing)
}

function orMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}
