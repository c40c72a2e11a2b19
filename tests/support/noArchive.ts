import { type Archive, createArchive } from '../../hub/archive/index.ts'
import { quietLog } from './quiet-log.ts'

/** A facility without one. */
export const noArchive: Archive = createArchive({
  configuration: undefined,
  ask: () => Promise.reject(new Error('no archive is asked')),
  contact: 'us',
  log: quietLog,
})
