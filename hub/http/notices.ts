/** What an agent is told in answer to its report: what ends its environment next, for the pages inside. */
import type { HubWord } from '../../images/agent/hub-word.ts'
import type { EnvironmentId } from '../../spawners/spawner.ts'
import type { Environments, Launches } from '../domain/services.ts'
import { ownerOf } from '../launch/extend.ts'
import { warnBeforeMs } from '../quota/idle.ts'
import type { QuotaAdmission } from '../quota/admission.ts'
import { endsOf } from '../web/ending.ts'

export interface NoticesOptions {
  readonly environments: Pick<Environments, 'get'>
  readonly launches: Pick<Launches, 'extension'>
  readonly quota: Pick<QuotaAdmission, 'idleMs' | 'longestMs'>
  readonly publicUrl: URL
  /** How long before a login ends its pages say so. */
  readonly loginWarnMs: number
  readonly now: () => Date
}

export interface NoticesFor {
  /** Undefined: it is not there any more. */
  of(id: EnvironmentId): Promise<HubWord | undefined>
}

export function createNotices(options: NoticesOptions): NoticesFor {
  const { environments, launches, quota, publicUrl, loginWarnMs, now } = options

  return {
    async of(id) {
      const environment = await environments.get(id)
      if (environment === undefined) return undefined
      const owner = ownerOf(environment)
      const { ending } = endsOf(environment, { idleMs: quota.idleMs(owner), longestMs: quota.longestMs(owner) })
      const page = (path: string): string => new URL(path, publicUrl).href
      return {
        version: 1,
        timeUrl: page(`/hub/environments/${id}/time`),
        renewUrl: page(`/hub/login/renew?environment=${id}`),
        ...(ending === undefined
          ? {}
          : {
              ends: {
                inMs: ending.at.getTime() - now().getTime(),
                cause: ending.cause,
                why: ending.why,
                canExtend: launches.extension(environment).is === 'possible',
              },
            }),
        warnMs: warnBeforeMs,
        loginWarnMs,
      }
    },
  }
}
