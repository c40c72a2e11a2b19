/** What `sacctmgr --parsable2` says of associations and qualities of service. Administrators make their names. Pure. */
import type { Association, Qos } from '../cluster.ts'
import { readTres } from '../limits.ts'

/** Account|User|ParentName|QOS|GrpTRES|GrpJobs|MaxJobs|MaxWall */
export function readAssociations(text: string): readonly Association[] {
  return rowsOf(text, 8).map(([account = '', user = '', parent = '', qos = '', total = '', together, each, wall]) => ({
    account,
    user,
    parent,
    qos: qos.split(',').filter((name) => name !== ''),
    total: readTres(total),
    jobs: countOf(user === '' ? together : each),
    minutesPerJob: minutesOf(wall),
  }))
}

/** Name|MaxTRESPU|MaxJobsPU|MaxWall */
export function readQualities(text: string): readonly Qos[] {
  return rowsOf(text, 4).map(([name = '', perUser = '', jobs, wall]) => ({
    name,
    perUser: readTres(perUser),
    jobsPerUser: countOf(jobs),
    minutesPerJob: minutesOf(wall),
  }))
}

/** @throws when it has not as many columns. */
function rowsOf(text: string, columns: number): readonly (readonly string[])[] {
  const lines = text.split('\n').filter((line) => line !== '')
  return lines.map((line) => {
    const parts = line.split('|')
    if (parts.length !== columns) throw new Error(`the accounting's limits do not have ${columns} columns`)
    return parts
  })
}

/** Undefined: it is not limited. */
function countOf(text = ''): number | undefined {
  return /^\d+$/.test(text) ? Number(text) : undefined
}

/** 90, 01:30:00 or 1-12:00:00 */
function minutesOf(text = ''): number | undefined {
  if (/^\d+$/.test(text)) return Number(text)
  const [, days = 0, hours, minutes] = /^(?:(\d+)-)?(\d+):(\d\d):\d\d$/.exec(text) ?? []
  return hours === undefined ? undefined : (Number(days) * 24 + Number(hours)) * 60 + Number(minutes)
}
