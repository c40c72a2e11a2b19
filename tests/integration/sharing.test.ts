/** Shares, links and visits on both databases: who gets in, what they are told, and that what ended stays ended. */
import { randomBytes } from 'node:crypto'
import test, { type ExecutionContext } from 'ava'
import { createAudit } from '../../hub/audit/index.ts'
import type { Environment } from '../../hub/domain/environment.ts'
import { Problem, type ProblemType } from '../../hub/domain/problem.ts'
import type { User, Visitor } from '../../hub/domain/services.ts'
import { routeOf } from '../../hub/domain/route.ts'
import type { Mail } from '../../hub/notify/index.ts'
import { permissionsOf } from '../../hub/roles/permissions.ts'
import { createGrantees } from '../../hub/sharing/grantees.ts'
import { createSharing, type Sharing, type Way } from '../../hub/sharing/index.ts'
import type { Share } from '../../hub/sharing/share.ts'
import type { Store } from '../../hub/store/index.ts'
import type { Revocation } from '../../proxy/feed.ts'
import { fakeEnvironment } from '../support/fakeHub.ts'
import { databases } from '../support/postgres.ts'
import { newRow } from '../support/rows.ts'
import { quietLog } from '../support/quiet-log.ts'
import { isEnvironmentId } from '../../spawners/spawner.ts'

const hour = 3_600_000
const minute = 60_000
const inTime = (): AbortSignal => AbortSignal.timeout(30_000)

interface World {
  readonly store: Store
  readonly sharing: Sharing
  readonly environment: Environment
  readonly environments: Map<string, Environment>
  readonly revoked: Revocation[]
  readonly mails: Mail[]
  readonly clock: { now: number }
  /** By name. */
  readonly groups: Map<string, string[]>
  /** Proposals that a person may see. */
  readonly entitled: Map<string, string[]>
  readonly catalogue: { isDown: boolean }
  readonly unwelcome: Set<string>
  person(name: string, scopes?: readonly string[]): Visitor
  share(name: string, more?: Partial<{ role: 'guest' | 'viewer'; expiresAt: Date }>): Promise<Share>
  trail(): Promise<{ did: string; who: string; whom: string | null; detail: string }[]>
}

const by = { who: { id: 'u-ada', name: 'ada' } } as const
let worlds = 0

async function worldOn(store: Store, { hosts = true, proposals = [] as string[] } = {}): Promise<World> {
  worlds += 1
  const prefix = `w${worlds}`
  const clock = { now: Date.now() }
  const now = () => new Date(clock.now)
  const names = ['ada', 'marie', 'rosalind', 'grace']
  await store.db
    .insertInto('users')
    .values(
      names.map((name) => ({
        id: `${prefix}-${name}`,
        name: `${prefix}-${name}`,
        title: name,
        email: `${name}@example.org`,
        admin: 0,
        blocked_reason: null,
        created_at: 0,
        last_activity_at: null,
      })),
    )
    .execute()
  const id = `${prefix}env`
  if (!isEnvironmentId(id)) throw new Error(id)
  const owner = `${prefix}-ada`
  const environment = { ...fakeEnvironment(id, owner), userId: owner, title: 'Lab', proposals }
  await store.db
    .insertInto('environments')
    .values(newRow({ id, userId: owner, spawner: 's', now: now(), owner }))
    .execute()
  const environments = new Map<string, Environment>([[id, environment]])
  const revoked: Revocation[] = []
  const mails: Mail[] = []
  const groups = new Map<string, string[]>()
  const entitled = new Map<string, string[]>()
  const catalogue = { isDown: false }
  const unwelcome = new Set<string>()
  const audit = createAudit({ store, configuration: { keep: 1e12, keepRefusals: 1e12 }, now, log: quietLog })
  const sharing = createSharing({
    configuration: {
      environments: {
        outliveHub: false,
        keepEnded: 1,
        perUser: 1,
        staffVisits: hour,
        entitlement: { check: 900_000, grace: 86_400_000 },
        ...(hosts ? { hosts: '{user}.envs.example.org' } : {}),
      },
    },
    publicUrl: new URL('https://hutch.example.org'),
    store,
    audit,
    routes: { revoke: async (revocation) => void revoked.push(revocation) },
    notifier: { queue: async (_db, queued) => void mails.push(...queued) },
    environments: { get: async (each) => environments.get(each), live: () => [...environments.values()] },
    catalogue: {
      entitled: async ({ name }: User, ids) => {
        if (catalogue.isDown) throw new Problem('catalogueUnreachable', 'It is away.')
        const open = entitled.get(name) ?? []
        return ids.flatMap((each) =>
          open.includes(each) ? [{ id: each, title: each, instrument: 'LOQ', fields: {} }] : [],
        )
      },
    },
    authorisation: {
      require: async ({ name }) => {
        if (unwelcome.has(name)) throw new Problem('notAuthorised', 'Not open to you.')
      },
    },
    groupsOf: async ({ name }) => groups.get(name) ?? [],
    now,
    newId: () => randomBytes(8).toString('hex'),
    log: quietLog,
  })
  const person = (name: string, scopes: readonly string[] = []): Visitor => ({
    user: { id: `${prefix}-${name}`, name: `${prefix}-${name}`, title: name, admin: false },
    login: `login-${prefix}-${name}`,
    by: 'cookie',
    groups: groups.get(`${prefix}-${name}`) ?? [],
    permissions: permissionsOf(scopes),
    expiresAt: new Date(clock.now + 8 * hour),
  })
  return {
    store,
    sharing,
    environment,
    environments,
    revoked,
    mails,
    clock,
    groups,
    entitled,
    catalogue,
    unwelcome,
    person,
    share(name, more = {}) {
      const { user } = person(name)
      return sharing.shares.grant(environment, { with: { kind: 'user', ...user }, role: 'guest', ...more }, by)
    },
    async trail() {
      const rows = store.db.selectFrom('audit').select(['did', 'who', 'whom', 'detail']).where('what', '=', id)
      return await rows.orderBy('id').execute()
    },
  }
}

const way = ({ sharing, environment }: World, visitor: Visitor): Promise<Way> =>
  sharing.way(visitor, environment, inTime())

async function refused(
  t: ExecutionContext,
  asked: Promise<unknown>,
  type: ProblemType,
  detail?: RegExp,
): Promise<void> {
  const problem = await t.throwsAsync(asked, { instanceOf: Problem })
  t.is(problem.type, type)
  if (detail) t.regex(problem.detail, detail)
}

/** Enters as the page does. */
async function enter(world: World, visitor: Visitor) {
  const found = await way(world, visitor)
  if (found.by !== 'share') throw new Error(`the way is by ${found.by}`)
  return await world.sharing.visits.byShare(visitor, world.environment, found.share)
}

test('who is let in, as what, and for how long', async (t) => {
  for (const store of await databases(t)) {
    const world = await worldOn(store)
    const { sharing, environment, clock, groups, revoked } = world
    const marie = world.person('marie')
    await refused(t, way(world, marie), 'notFound')
    await refused(t, sharing.way(marie, undefined, inTime()), 'notFound')

    const share = await world.share('marie', { expiresAt: new Date(clock.now + 10 * minute) })
    const visit = await enter(world, marie)
    t.like(visit, { role: 'guest', environment: environment.id, expiresAt: new Date(clock.now + 10 * minute) })
    t.is((await sharing.visits.list({ environment: environment.id })).length, 1)
    t.true(await sharing.visits.hasBeen(marie.user.id, environment.id, 'guest'))
    clock.now += 11 * minute
    await refused(t, way(world, marie), 'notFound')

    // Sharing again is the same share on other terms: what was open on the old ones closes.
    await world.share('marie')
    t.is((await sharing.shares.of(environment)).length, 1)
    const second = await enter(world, marie)
    t.is(second.expiresAt.getTime(), marie.expiresAt.getTime(), 'never longer than the login')
    revoked.length = 0
    await world.share('marie', { expiresAt: new Date(clock.now + hour) })
    t.deepEqual(
      revoked.map(({ kind, subject }) => [kind, subject]),
      [['share', second.id]],
    )
    const third = await enter(world, marie)
    revoked.length = 0
    await sharing.shares.end(environment, share.id, by)
    t.deepEqual(revoked, [
      { kind: 'share', subject: third.id, at: third.expiresAt.getTime(), until: third.expiresAt.getTime() },
    ])
    await refused(t, way(world, marie), 'notFound')
    await sharing.shares.end(environment, share.id, by)
    await sharing.shares.restore(environment, share.id, by)
    t.is((await way(world, marie)).by, 'share')
    await sharing.shares.endAll(environment, by)
    clock.now += 11 * minute
    await refused(t, sharing.shares.restore(environment, share.id, by), 'notFound', /can not be undone/)

    // By a group; use before view, straight before by a group.
    const name = `${environment.id}-optics`
    groups.set(marie.user.name, [name])
    await sharing.shares.grant(environment, { with: { kind: 'group', name }, role: 'guest' }, by)
    const found = await way(world, world.person('marie'))
    t.like(found, { by: 'share', share: { with: { kind: 'group' } } })
    await refused(t, way(world, world.person('grace')), 'notFound')
    t.is((await sharing.openTo(world.person('marie'))).length, 1)
    const trail = await world.trail()
    t.true(trail.some(({ did, detail }) => did === 'share.made' && detail.includes(`group:${name}`)))
    t.is(trail.filter(({ did }) => did === 'environment.entered').length, 3)
  }
})

test('what is asked for and can not be', async (t) => {
  const [store] = await databases(t)
  if (store === undefined) return t.fail()
  const world = await worldOn(store)
  const { sharing, environment, clock } = world
  await refused(t, world.share('marie', { role: 'viewer' }), 'badRequest', /only be shared for use/)
  await refused(t, world.share('ada'), 'badRequest', /theirs already/)
  await refused(t, world.share('marie', { expiresAt: new Date(clock.now) }), 'badRequest', /over already/)
  const grantees = createGrantees({ db: store.db, groups: { get: () => Promise.resolve(undefined) } })
  for (const name of ['nobody', '', "' or 1=1 --", '../x', 'x'.repeat(300)]) {
    await refused(t, grantees.find('user', name, { groups: [] }), 'badRequest', /nobody named/)
    await refused(t, grantees.find('group', name, { groups: ['optics'] }), 'badRequest', /no group/)
  }
  t.like(await grantees.find('group', 'optics', { groups: ['optics'] }), { kind: 'group', name: 'optics' })

  const closed = await worldOn(store, { hosts: false })
  t.throws(() => closed.sharing.requireOpen(closed.environment), { message: /share one address with the hub/ })
  await closed.share('marie')
  await refused(t, way(closed, closed.person('marie')), 'conflict', /share one address/)
  await refused(
    t,
    closed.sharing.announce(closed.person('grace', ['access:servers']), closed.environment, 'x'),
    'conflict',
  )
  const { spec } = environment
  const plain = { ...environment, spec: { ...spec, protocol: 'jupyterhub' as const } }
  t.throws(() => sharing.requireOpen(plain), { message: /checks for itself/ })

  // A desktop may be looked at, and its route says where.
  const desktop = { ...environment, spec: { ...spec, application: { ...spec.application, kind: 'desktop' as const } } }
  const to = { kind: 'user', ...world.person('marie').user } as const
  t.is((await sharing.shares.grant(desktop, { with: to, role: 'viewer' }, by)).role, 'viewer')
  const address = { host: 'h', port: 1, generation: 1 }
  t.truthy(routeOf({ ...desktop, address }, '{user}.x.org')?.viewers)
  t.is(routeOf({ ...environment, address }, '{user}.x.org')?.viewers, undefined)
})

test('a guest must be entitled to every proposal, at entry and after', async (t) => {
  for (const store of await databases(t)) {
    const world = await worldOn(store, { proposals: ['2026001', '2026002'] })
    const { sharing, environment, entitled: open, catalogue, unwelcome, groups } = world
    const marie = world.person('marie')
    await world.share('marie')
    open.set(marie.user.name, ['2026001'])
    await refused(t, way(world, marie), 'notEntitled', /proposal 2026002/)
    open.set(marie.user.name, ['2026001', '2026002'])
    const visit = await enter(world, marie)
    await sharing.sweep.look()
    t.is((await sharing.visits.get(visit.id))?.endedAt, undefined, 'all is as it was')

    // A catalogue that is down decides nothing of what goes on, and lets nobody new in.
    catalogue.isDown = true
    await refused(t, way(world, marie), 'catalogueUnreachable')
    await sharing.sweep.look()
    t.is((await sharing.visits.get(visit.id))?.endedAt, undefined)
    catalogue.isDown = false
    open.set(marie.user.name, ['2026002'])
    await sharing.sweep.look()
    t.truthy((await sharing.visits.get(visit.id))?.endedAt)
    t.is(world.revoked.at(-1)?.subject, visit.id)

    open.set(marie.user.name, ['2026001', '2026002'])
    const again = await enter(world, marie)
    unwelcome.add(marie.user.name)
    await sharing.sweep.look()
    t.truthy((await sharing.visits.get(again.id))?.endedAt, 'who may not use the installation is no guest either')
    unwelcome.clear()

    // Whoever leaves the group leaves the environment.
    await sharing.shares.endAll(environment, by)
    const name = `${environment.id}-optics`
    groups.set(marie.user.name, [name])
    await sharing.shares.grant(environment, { with: { kind: 'group', name }, role: 'guest' }, by)
    const byGroup = await enter(world, world.person('marie'))
    groups.set(marie.user.name, [])
    await sharing.sweep.look()
    t.truthy((await sharing.visits.get(byGroup.id))?.endedAt)
    t.like(
      (await world.trail()).findLast(({ did }) => did === 'visit.ended'),
      { who: 'hub', whom: marie.user.name },
    )
  }
})

test('staff say why, their owner is told, and it ends', async (t) => {
  for (const store of await databases(t)) {
    const world = await worldOn(store)
    const { sharing, environment, clock, groups, mails } = world
    const { visits } = sharing
    const owner = environment.userId
    for (const scopes of [[], ['read:servers'], ['access:servers!group=optics'], ['access:servers!user=somebody']]) {
      await refused(t, way(world, world.person('grace', scopes)), 'notFound')
      await refused(t, sharing.announce(world.person('grace', scopes), environment, 'because'), 'notFound')
    }
    groups.set(environment.owner, ['optics'])
    const grace = world.person('grace', ['access:servers!group=optics'])
    t.is((await way(world, grace)).by, 'reason')
    t.deepEqual(await visits.unread(owner), [])
    const visit = await sharing.announce(grace, environment, 'Ticket 4711')
    t.like(visit, { role: 'administrator', reason: 'Ticket 4711', expiresAt: new Date(clock.now + hour) })
    t.like(await way(world, grace), { by: 'visit', visit: { id: visit.id } })
    // Another login of hers has to say it again.
    t.is((await way(world, { ...grace, login: 'another' })).by, 'reason')
    t.like(mails[0], { to: 'ada@example.org', subject: `${grace.user.name} entered “Lab”` })
    t.regex(mails[0]?.text ?? '', /Reason: Ticket 4711/)
    t.like((await world.trail()).at(-1), { did: 'environment.entered', who: grace.user.name, whom: environment.owner })
    t.regex((await world.trail()).at(-1)?.detail ?? '', /"role":"administrator","reason":"Ticket 4711"/)

    t.is((await visits.unread(owner)).length, 1)
    await visits.putAway(grace.user.id, visit.id)
    t.is((await visits.unread(owner)).length, 1, 'only its owner puts it away')
    await visits.putAway(owner, visit.id)
    t.is((await visits.unread(owner)).length, 0)

    await visits.end(visit.id, by, 'its owner ended it')
    t.is(world.revoked.at(-1)?.subject, visit.id)
    t.is((await way(world, grace)).by, 'reason')
    await visits.end(visit.id, by, 'twice is once')
    t.is((await world.trail()).filter(({ did }) => did === 'visit.ended').length, 1)

    // By a program: the first login that comes has it, and no other.
    await sharing.announce({ ...grace, by: 'token', login: 'token-1' }, environment, 'Ticket 4712')
    t.is((await way(world, grace)).by, 'visit')
    t.is((await way(world, { ...grace, login: 'another' })).by, 'reason')
    clock.now += hour + 1
    t.is((await way(world, grace)).by, 'reason')

    // A share is the better way: no reason is asked, but the proposals are.
    await world.share('grace')
    t.is((await way(world, grace)).by, 'share')
    world.environments.set(environment.id, {
      ...environment,
      state: { is: 'ended', reason: 'cancelled', message: '', at: new Date(clock.now), log: '' },
    })
    const ended = world.environments.get(environment.id)
    await refused(t, sharing.way(grace, ended, inTime()), 'conflict', /does not run any more/)
  }
})

test('links: shown once, followed by whoever has one, ended', async (t) => {
  for (const store of await databases(t)) {
    const world = await worldOn(store)
    const { sharing, environment, clock } = world
    const { codes } = sharing
    const [marie, grace] = [world.person('marie'), world.person('grace')]
    const made = await codes.create(environment, { role: 'guest', expiresAt: new Date(clock.now + hour) }, by)
    const rows = await store.db.selectFrom('share_codes').selectAll().execute()
    t.false(JSON.stringify(rows).includes(made.code), 'only its hash is kept')
    const found = await codes.find(made.code)
    if (found === undefined) return t.fail()
    for (const wrong of ['', 'x', made.id, `${made.code}x`]) t.is(await codes.find(wrong), undefined)
    await codes.accept(found, environment, marie.user, { who: marie.user })
    t.is((await way(world, marie)).by, 'share')
    // Following it again, or with more than it gives, takes nothing away.
    const [before] = await sharing.shares.of(environment)
    await codes.accept(found, environment, marie.user, { who: marie.user })
    t.deepEqual((await sharing.shares.of(environment))[0], before)
    t.is((await codes.list(environment))[0]?.uses, 2)

    t.is(await codes.end(environment, { code: made.code }, by), 1)
    t.is(await codes.find(made.code), undefined)
    await refused(t, codes.accept(found, environment, grace.user, by), 'notFound')
    t.is((await way(world, marie)).by, 'share', 'what it made stays')
    const short = await codes.create(environment, { role: 'guest', expiresAt: new Date(clock.now + minute) }, by)
    clock.now += 2 * minute
    t.is(await codes.find(short.code), undefined)
    const wanted = { role: 'guest', expiresAt: new Date(clock.now + 31 * 24 * hour) } as const
    await refused(t, codes.create(environment, wanted, by), 'badRequest')
    for (let count = 0; count < 20; count += 1) {
      await codes.create(environment, { role: 'guest', expiresAt: new Date(clock.now + hour) }, by)
    }
    await refused(t, codes.create(environment, { ...wanted, expiresAt: new Date(clock.now + hour) }, by), 'conflict')
  }
})

test('a share that is ended while somebody enters: nobody is left inside', async (t) => {
  for (const store of await databases(t)) {
    const world = await worldOn(store)
    const { sharing, environment, revoked } = world
    const marie = world.person('marie')
    for (let round = 0; round < 20; round += 1) {
      const share = await world.share('marie')
      const found = await way(world, marie)
      if (found.by !== 'share') return t.fail()
      revoked.length = 0
      const enters = () => [0, 1, 2].map(() => sharing.visits.byShare(marie, environment, found.share))
      // Now the end is asked for first, now the entries.
      const early = round % 2 === 0 ? enters() : []
      const ending = sharing.shares.end(environment, share.id, by)
      const [ended, ...entered] = await Promise.allSettled([ending, ...early, ...(round % 2 === 0 ? [] : enters())])
      t.is(ended.status, 'fulfilled')
      const inside = entered.flatMap((each) => (each.status === 'fulfilled' ? [each.value.id] : []))
      t.deepEqual(
        inside.filter((id) => !revoked.some(({ subject }) => subject === id)),
        [],
      )
    }
  }
})
