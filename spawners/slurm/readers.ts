/** How each way to a cluster has its list of jobs read: plain data, so that a thread can be told. */
import type { ClusterJob } from './cluster.ts'
import { readJobs as readRows, type Asked } from './commands/read.ts'
import type { JobsFormat } from './commands/template.ts'
import { readJobs as read38 } from './rest/v0_0_38/read.ts'
import { readJobs as read42 } from './rest/v0_0_42/read.ts'

export type ListReader =
  | Readonly<{ by: 'rest'; version: keyof typeof versions }>
  | Readonly<{ by: 'command'; format: JobsFormat; asked: Asked }>

const versions = { 'v0.0.38': read38, 'v0.0.42': read42 } as const

export function readList(body: ArrayBuffer, reader: ListReader): readonly ClusterJob[] {
  const text = new TextDecoder().decode(body)
  switch (reader.by) {
    case 'rest':
      return versions[reader.version](JSON.parse(text))
    case 'command':
      return readRows(text, reader.format, reader.asked)
  }
}
