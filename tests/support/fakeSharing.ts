/** Sharing that is in place from the start: for tests of what pages show. The real one has tests with a store. */
import type { AppOptions } from '../../hub/app.ts'
import { Problem } from '../../hub/domain/problem.ts'
import type { ShareCode } from '../../hub/sharing/codes.ts'
import type { Share, Visit } from '../../hub/sharing/share.ts'
import type { Way } from '../../hub/sharing/index.ts'

export interface SharedThings {
  readonly shares: Share[]
  readonly codes: ShareCode[]
  readonly visits: Visit[]
  readonly openTo: Awaited<ReturnType<AppOptions['sharing']['openTo']>>[number][]
  way?: Way
}

export function fakeSharing(): { things: SharedThings } & Pick<AppOptions, 'sharing' | 'grantees'> {
  const things: SharedThings = { shares: [], codes: [], visits: [], openTo: [] }
  const refuse = (): Promise<never> => Promise.reject(new Problem('notFound', 'This is a fake.'))
  const nothing = (): Promise<void> => Promise.resolve()
  const none = (): Promise<readonly []> => Promise.resolve([])
  return {
    things,
    grantees: { find: refuse },
    sharing: {
      shares: {
        grant: refuse,
        end: nothing,
        endAll: nothing,
        restore: nothing,
        of: () => Promise.resolve(things.shares),
        openTo: none,
        grantedTo: none,
        get: () => Promise.resolve(undefined),
      },
      codes: {
        create: (environment, { role, expiresAt }) =>
          Promise.resolve({
            id: 'link1',
            environment: environment.id,
            role,
            createdAt: new Date(),
            expiresAt,
            uses: 0,
            code: 'the-code-of-the-link',
          }),
        list: () => Promise.resolve(things.codes),
        find: (code) => Promise.resolve(things.codes.find(({ id }) => id === code)),
        end: () => Promise.resolve(0),
        accept: nothing,
      },
      visits: {
        announce: refuse,
        byShare: refuse,
        ofStaff: () => Promise.resolve(undefined),
        get: () => Promise.resolve(undefined),
        list: () => Promise.resolve(things.visits),
        unread: () => Promise.resolve(things.visits.filter(({ role }) => role === 'administrator')),
        putAway: nothing,
        hasBeen: () => Promise.resolve(false),
        end: nothing,
        endOfShare: refuse,
      },
      sweep: { start() {}, close: nothing, look: nothing },
      way: () => (things.way === undefined ? refuse() : Promise.resolve(things.way)),
      announce: refuse,
      requireOpen() {},
      openTo: () => Promise.resolve(things.openTo),
    },
  }
}
