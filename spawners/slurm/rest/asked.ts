/** What is asked in the same words in every version. Pure. */
import type { Submission } from '../cluster.ts'
import { plainOutput } from './answers.ts'

/** Of a job. Absent, not empty: SLURM's own defaults. */
export function commonOf(submission: Submission) {
  const { partition, account, qos, reservation, constraint, licenses } = submission
  return {
    name: submission.name,
    comment: submission.comment,
    dependency: 'singleton',
    current_working_directory: submission.directory,
    standard_output: plainOutput(submission.output),
    tasks: submission.tasks,
    cpus_per_task: submission.cpus,
    ...(partition === undefined ? {} : { partition }),
    ...(account === undefined ? {} : { account }),
    ...(qos === undefined ? {} : { qos }),
    ...(reservation === undefined ? {} : { reservation }),
    ...(constraint === undefined ? {} : { constraints: constraint }),
    ...(licenses === undefined ? {} : { licenses }),
  }
}

/** Of the accounting: those that ran since then. */
export function queryOf(names: readonly string[], since: Date): { job_name: string; start_time: string } {
  return { job_name: names.join(','), start_time: `uts${Math.floor(since.getTime() / 1_000)}` }
}
