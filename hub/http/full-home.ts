/** A home that is full: told on the pages, with a terminal as the way out, in which HOME is another folder. */
import { Router } from '@koa/router'
import type { Configuration } from '../../config/schema.ts'
import type { HomeStorage } from '../accounts/home-storage.ts'
import { Problem } from '../domain/problem.ts'
import type { Launches, Visitor } from '../domain/services.ts'
import { askerOf } from '../launch/asking.ts'
import type { QuotaAdmission } from '../quota/admission.ts'
import { formatBytes } from '../domain/format.ts'
import { answerDeadlineMs } from './api.ts'
import { formBody } from './body.ts'
import { visitorOf } from './visitor.ts'

interface HomeView {
  readonly usedBytes: number
  readonly limitBytes?: number
  readonly usedText: string
  readonly limitText?: string
  /** The pages warn. */
  readonly isNearlyFull: boolean
  readonly isFull: boolean
}

export interface Homes {
  /** Undefined: nobody can tell. Never rejects. */
  of(visitor: Visitor): Promise<HomeView | undefined>
}

export interface HomesOptions {
  readonly configuration: Pick<Configuration, 'homeStorage'>
  readonly homeStorage: HomeStorage
  readonly quota: Pick<QuotaAdmission, 'homeBytes'>
}

export function createHomes({ configuration, homeStorage, quota }: HomesOptions): Homes {
  return {
    async of(visitor) {
      const use = await homeStorage.of(visitor.user)
      if (use === undefined) return undefined
      const { usedBytes } = use
      // The file system knows what it refuses; where it sets no limit, the hub's is what people are told.
      const limitBytes = use.limitBytes ?? quota.homeBytes(askerOf(visitor, []))
      const share = use.share ?? (limitBytes === undefined ? 0 : usedBytes / limitBytes)
      return {
        usedBytes,
        ...(limitBytes === undefined ? {} : { limitBytes, limitText: formatBytes(limitBytes) }),
        usedText: formatBytes(usedBytes),
        isNearlyFull: share >= configuration.homeStorage.warnAt,
        isFull: share >= 1,
      }
    },
  }
}

/** A terminal that writes nothing to the home by itself. */
export function rescueRouter(options: {
  configuration: Pick<Configuration, 'homeStorage'>
  launches: Pick<Launches, 'offers' | 'launch'>
}): Router {
  const { configuration, launches } = options
  const router = new Router()

  router.post('/hub/rescue', async (ctx) => {
    const visitor = visitorOf(ctx)
    formBody(ctx)
    const wanted = configuration.homeStorage.rescue
    const terminals = (await launches.offers(visitor)).filter(
      ({ kind, profile, unavailable }) =>
        kind === 'terminal' && unavailable === undefined && (wanted === undefined || profile === wanted),
    )
    const [profile] = terminals
    const flavour = profile?.flavours[0]?.name
    if (profile === undefined || flavour === undefined) {
      throw new Problem('launchRefused', 'No terminal is offered to you just now. Ask your administrator to make room.')
    }
    const choices = {
      profile: profile.profile,
      flavour,
      proposals: [],
      title: 'Rescue terminal',
      rescue: true,
    } as const
    const { id } = await launches.launch(visitor, choices, AbortSignal.timeout(answerDeadlineMs))
    ctx.state['environmentId'] = id
    ctx.status = 303
    ctx.redirect(`/hub/environments/${id}`)
  })
  return router
}
