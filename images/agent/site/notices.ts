/** What every page inside asks: how long there is, and to stay. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { refuse } from '../forward.ts'
import type { Notices } from '../notices.ts'
import { isSameOrigin, sendJson } from './answers.ts'
import type { SiteOptions } from './index.ts'
import { visitorOf } from './visitor.ts'

export interface NoticeOptions {
  /** `loginEndsAt`: as the proxy says, ms since the epoch. */
  readonly notices: (loginEndsAt: number | undefined) => Notices
  /** Somebody said that it is still wanted. */
  readonly onStay: () => void
}

export function noticeDoors({ notices, onStay }: NoticeOptions): SiteOptions['doors'] {
  return {
    notices(incoming, response) {
      if (incoming.method !== 'GET' && incoming.method !== 'HEAD') {
        return refuse(response, 405, 'Only GET and HEAD here.', { Allow: 'GET, HEAD' })
      }
      const { isOwner, looksOnly } = visitorOf(incoming)
      const told = notices(isOwner ? loginEndOf(incoming) : undefined)
      sendJson(response, 200, isOwner ? told : forGuests(told, !looksOnly))
    },
    stay: (incoming, response) => stay(incoming, response, onStay),
  }
}

/** What the hub says is said to the owner: others are told when it ends, not why, nor where its owner asks for more. */
function forGuests({ ends, warnMs, loginWarnMs }: Notices, canStay: boolean): Notices {
  if (ends === undefined) return { warnMs, loginWarnMs }
  return { ends: { ...ends, why: '', canExtend: false }, canStay, warnMs, loginWarnMs }
}

/** One click to stay. What another site's page sends counts for nothing; nor does it for who may only look. */
function stay(incoming: IncomingMessage, response: ServerResponse, onStay: () => void): void {
  if (incoming.method !== 'POST') return refuse(response, 405, 'Only POST here.', { Allow: 'POST' })
  if (!isSameOrigin(incoming)) return refuse(response, 403, 'This page is from elsewhere.')
  if (visitorOf(incoming).looksOnly) return refuse(response, 403, 'You may only look here.')
  onStay()
  response.writeHead(204).end()
}

/** When the login of who asks ends, as the proxy says, which lets no browser say it. */
function loginEndOf({ headers }: IncomingMessage): number | undefined {
  const text = headers['x-hutch-until']
  return typeof text === 'string' && /^\d{1,15}$/.test(text) ? Number(text) : undefined
}
