/** Others in somebody's environment: guests by a share, staff with a reason. Who may, and what goes on of it. */
import type { Configuration } from '../../config/schema.ts'
import type { Log } from '../../spawners/spawner.ts'
import type { Audit } from '../audit/index.ts'
import type { Environment } from '../domain/environment.ts'
import { Problem } from '../domain/problem.ts'
import type { Catalogue, Environments, RouteTable, User, Visitor } from '../domain/services.ts'
import type { Authorisation } from '../identity/authorisation.ts'
import type { Notifier } from '../notify/index.ts'
import { allows } from '../roles/permissions.ts'
import { serverNameOf } from '../roles/server-name.ts'
import type { Store } from '../store/index.ts'
import { createShareCodes, type ShareCodes } from './codes.ts'
import { closedBecause, type Share, type Visit } from './share.ts'
import { createShares, type Shares } from './shares.ts'
import { createSweep, type Sweep } from './sweep.ts'
import { createVisits, notShared, type Visits } from './visits.ts'

export interface Sharing {
  readonly shares: Shares
  readonly codes: ShareCodes
  readonly visits: Visits
  /** Not started. */
  readonly sweep: Sweep
  /**
   * By which way somebody who is not its owner may come in now. Everything live: the share, the proposals, the roles.
   * @throws Problem notFound (also when it is nobody's business that it is there), conflict, notEntitled …
   */
  way(visitor: Visitor, environment: Environment | undefined, signal: AbortSignal): Promise<Way>
  /** One of the staff says why; @throws as `way`, and Problem 'forbidden' for who is none */
  announce(visitor: Visitor, environment: Environment | undefined, reason: string): Promise<Visit>
  /** @throws Problem 'conflict' where environments open for their owners alone */
  requireOpen(environment: Environment): void
  /** Shared with this person, and there. */
  openTo(visitor: Visitor): Promise<readonly Readonly<{ share: Share; environment: Environment }>[]>
}

export type Way =
  /** A guest; the share was looked at a moment ago, `visits.byShare` looks again. */
  | Readonly<{ by: 'share'; share: Share; environment: Environment }>
  | Readonly<{ by: 'visit'; visit: Visit; environment: Environment }>
  /** One of the staff, who has to say why first. */
  | Readonly<{ by: 'reason'; environment: Environment }>

export interface SharingOptions {
  readonly configuration: Pick<Configuration, 'environments'>
  readonly publicUrl: URL
  readonly store: Pick<Store, 'db' | 'writer'>
  readonly audit: Pick<Audit, 'write' | 'within'>
  readonly routes: Pick<RouteTable, 'revoke'>
  readonly notifier: Pick<Notifier, 'queue'>
  readonly environments: Pick<Environments, 'get' | 'live'>
  readonly catalogue: Pick<Catalogue, 'entitled'>
  readonly authorisation: Pick<Authorisation, 'require'>
  /** All of a user's groups, as they are now. */
  readonly groupsOf: (user: Pick<User, 'id' | 'name'>) => Promise<readonly string[]>
  readonly now: () => Date
  readonly newId: () => string
  readonly log: Log
}

export function createSharing(options: SharingOptions): Sharing {
  const { configuration, environments, catalogue, authorisation, groupsOf } = options
  const visits = createVisits({ ...options, staffMs: configuration.environments.staffVisits })
  const shares = createShares({ ...options, visits })
  const codes = createShareCodes({ ...options, shares })

  function requireOpen({ spec }: Environment): void {
    const because = closedBecause(spec, configuration)
    if (because !== undefined) throw new Problem('conflict', because)
  }

  async function isStaffOf({ permissions }: Visitor, { userId, owner, server }: Environment): Promise<boolean> {
    if (permissions === undefined) return false
    const groups = await groupsOf({ id: userId, name: owner })
    return allows(permissions, 'access:servers', { kind: 'server', user: owner, server: serverNameOf(server), groups })
  }

  async function shareFor(visitor: Visitor, { id }: Environment): Promise<Share | undefined> {
    return (await shares.openTo(visitor)).find(({ environment }) => environment === id)
  }

  /** Its owner acts there; a guest does too, so the data must be theirs to see. */
  async function requireEntitled(user: User, { proposals }: Environment, signal: AbortSignal): Promise<void> {
    await authorisation.require(user, signal)
    const open = new Set((await catalogue.entitled(user, proposals, signal)).map(({ id }) => id))
    const [closed] = proposals.filter((id) => !open.has(id))
    if (closed === undefined) return
    const detail = `Its owner shares this environment with you, but the data of proposal ${closed} are mounted in it, and that proposal is not open to you. Ask to be added to the proposal.`
    throw new Problem('notEntitled', detail)
  }

  return {
    shares,
    codes,
    visits,
    requireOpen,
    sweep: createSweep({ ...options, shares, visits, requireEntitled }),
    async way(visitor, environment, signal) {
      if (environment === undefined) throw notShared()
      const [share, isStaff] = await Promise.all([shareFor(visitor, environment), isStaffOf(visitor, environment)])
      if (share === undefined && !isStaff) throw notShared()
      requireOpen(environment)
      if (environment.state.is === 'ended') {
        throw new Problem('conflict', `“${environment.title}” does not run any more. Its owner can start it again.`)
      }
      if (share !== undefined) {
        await requireEntitled(visitor.user, environment, signal)
        return { by: 'share', share, environment }
      }
      const visit = await visits.ofStaff(visitor, environment)
      return visit === undefined ? { by: 'reason', environment } : { by: 'visit', visit, environment }
    },
    async announce(visitor, environment, reason) {
      if (environment === undefined || !(await isStaffOf(visitor, environment))) throw notShared()
      requireOpen(environment)
      if (environment.userId === visitor.user.id) throw new Problem('conflict', 'It is your own. Just open it.')
      if (environment.state.is === 'ended') throw new Problem('conflict', 'It does not run any more.')
      return await visits.announce(visitor, environment, reason)
    },
    async openTo(visitor) {
      const found = await Promise.all(
        (await shares.openTo(visitor)).map(async (share) => {
          const environment = await environments.get(share.environment)
          return environment === undefined || environment.state.is === 'ended' ? [] : [{ share, environment }]
        }),
      )
      return found.flat()
    },
  }
}
