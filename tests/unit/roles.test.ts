/** Scopes, filters and roles: what they mean, and laws that hold for whatever is thrown at them. */
import test from 'ava'
import { array, assert, constantFrom, oneof, property, string, tuple } from 'fast-check'
import { configurationSchema, type ConfigurationInput } from '../../config/schema.ts'
import { isScopeName, type ScopeName, scopeNames, scopeProblem, withIncluded } from '../../config/scopes.ts'
import { createAccess, tokenPermissions } from '../../hub/roles/access.ts'
import { defineRoles } from '../../hub/roles/definitions.ts'
import { expand, type Owner } from '../../hub/roles/expand.ts'
import type { Groups } from '../../hub/roles/groups.ts'
import type { RoleMembers } from '../../hub/roles/members.ts'
import {
  allows,
  excess,
  intersect,
  type Permissions,
  permissionsOf,
  scopesOf,
  type Target,
  union,
} from '../../hub/roles/permissions.ts'

/* A small world: three people, two groups, two servers each. */

const groupsOf: Readonly<Record<string, readonly string[]>> = { ada: ['optics'], bob: ['optics', 'muons'], eve: [] }
const inGroups = (user: string): readonly string[] => groupsOf[user] ?? []
const targets: readonly Target[] = [
  ...Object.keys(groupsOf).flatMap((name): Target[] => [
    { kind: 'user', name, groups: inGroups(name) },
    { kind: 'server', user: name, server: '', groups: inGroups(name) },
    { kind: 'server', user: name, server: 'lab', groups: inGroups(name) },
  ]),
  { kind: 'group', name: 'optics' },
  { kind: 'group', name: 'muons' },
  { kind: 'service', name: 'culler' },
]
const every: readonly (Target | undefined)[] = [...targets, undefined]

const filter = constantFrom(
  '',
  '!user=ada',
  '!user=bob',
  '!user=eve',
  '!group=optics',
  '!group=muons',
  '!server=ada/lab',
  '!server=bob/',
  '!service=culler',
)
const scope = tuple(constantFrom(...scopeNames), filter).map(([name, filters]) => `${name}${filters}`)
const scopes = array(scope, { maxLength: 8 })
const permissions = scopes.map(permissionsOf)
const owner = constantFrom<Owner>({ kind: 'user', name: 'ada' }, { kind: 'service', name: 'culler' })

function allowed(of: Permissions): Set<string> {
  const found = new Set<string>()
  for (const name of scopeNames) {
    for (const target of every) if (allows(of, name, target)) found.add(`${name} ${JSON.stringify(target)}`)
  }
  return found
}

const isSubset = (inner: ReadonlySet<string>, outer: ReadonlySet<string>): boolean => inner.isSubsetOf(outer)

test('law: what both allow is allowed by each of the two', (t) => {
  assert(
    property(permissions, permissions, (a, b) => {
      const both = allowed(intersect(a, b, inGroups))
      return isSubset(both, allowed(a)) && isSubset(both, allowed(b))
    }),
  )
  t.pass()
})

test('law: where at most one side has groups, nothing that both allow is lost', (t) => {
  const withoutGroups = array(
    scope.filter((each) => !each.includes('!group')),
    { maxLength: 8 },
  ).map(permissionsOf)
  assert(
    property(permissions, withoutGroups, (a, b) => {
      const both = intersect(a, b, inGroups)
      return isSubset(allowed(a).intersection(allowed(b)), allowed(both))
    }),
  )
  t.pass()
})

test('law: the intersection is monotone and does not care for the order', (t) => {
  assert(
    property(permissions, permissions, permissions, (a, more, b) => {
      const less = intersect(a, b, inGroups)
      const with_more = intersect(union([a, more]), b, inGroups)
      t.deepEqual(scopesOf(less), scopesOf(intersect(b, a, inGroups)))
      return isSubset(allowed(less), allowed(with_more))
    }),
  )
  t.pass()
})

test('law: expanding what was expanded changes nothing', (t) => {
  assert(
    property(scopes, owner, (some, whose) => {
      const once = scopesOf(expand(some, { owner: whose }))
      t.deepEqual(scopesOf(expand(once, { owner: whose })), once)
    }),
  )
  t.pass()
})

test('law: a token never has more than its owner, whatever it says', (t) => {
  const said = array(
    oneof(scope, constantFrom('inherit', 'self', 'users!user', 'access:servers!server', 'x', 'users!user=')),
    { maxLength: 8 },
  )
  assert(
    property(said, permissions, owner, (some, whose, of) => {
      const token = tokenPermissions({ scopes: some, owner: of, server: 'ada/lab' }, whose, inGroups(of.name))
      return isSubset(allowed(token), allowed(whose))
    }),
  )
  t.pass()
})

test('law: whatever text comes as a scope is no trouble, and gives nothing unless it is a scope', (t) => {
  assert(
    property(oneof(string(), string({ unit: 'grapheme' })), (text) => {
      const made = permissionsOf([text])
      if (scopeProblem(text) !== undefined)
        t.is(allowed(expand([text], { owner: { kind: 'user', name: 'eve' } })).size, 0)
      return made.size === 0 || isScopeName(text.split('!', 1)[0] ?? '')
    }),
  )
  t.pass()
})

const included: readonly (readonly [ScopeName, readonly string[]])[] = [
  ['read:users', ['read:users', 'read:users:activity', 'read:users:groups', 'read:users:name']],
  [
    'admin:users',
    [
      'admin:auth_state',
      'admin:users',
      'delete:users',
      'list:users',
      'read:roles:users',
      'read:users',
      'read:users:activity',
      'read:users:groups',
      'read:users:name',
      'users',
      'users:activity',
    ],
  ],
  ['servers', ['delete:servers', 'read:servers', 'read:users:name', 'servers', 'start:servers']],
  ['read:metrics', ['read:metrics']],
]
for (const [name, all] of included) {
  test(`${name} includes what JupyterHub says`, (t) => {
    t.deepEqual(withIncluded(name).toSorted(), all)
  })
}

const decisions: readonly (readonly [string, ScopeName, Target | undefined, boolean])[] = [
  ['read:users', 'read:users:name', undefined, true],
  ['read:users!user=ada', 'read:users:name', undefined, false],
  ['read:users!user=ada', 'read:users:name', { kind: 'user', name: 'ada', groups: [] }, true],
  ['read:users!user=ada', 'read:users:name', { kind: 'user', name: 'bob', groups: [] }, false],
  ['read:users!group=g', 'read:users', { kind: 'user', name: 'bob', groups: ['g'] }, true],
  ['servers!user=ada', 'delete:servers', { kind: 'server', user: 'ada', server: 'x', groups: [] }, true],
  ['servers!server=ada/x', 'delete:servers', { kind: 'server', user: 'ada', server: 'x', groups: [] }, true],
  ['servers!server=ada/x', 'delete:servers', { kind: 'server', user: 'ada', server: 'y', groups: [] }, false],
  ['servers!server=ada/x', 'servers', { kind: 'user', name: 'ada', groups: [] }, false],
  ['groups!group=g', 'read:groups', { kind: 'group', name: 'g' }, true],
  ['access:services!service=s', 'access:services', { kind: 'service', name: 's' }, true],
  ['access:services!service=s', 'access:services', { kind: 'service', name: 't' }, false],
]
for (const [has, asked, target, expected] of decisions) {
  test(`${has} ${expected ? 'allows' : 'does not allow'} ${asked} of ${JSON.stringify(target)}`, (t) => {
    t.is(allows(permissionsOf([has]), asked, target), expected)
  })
}

test('what is too much is named', (t) => {
  t.deepEqual(excess(permissionsOf(['read:servers!user=ada']), permissionsOf(['servers!user=ada']), inGroups), [])
  t.deepEqual(
    excess(permissionsOf(['read:metrics', 'tokens!user=bob']), permissionsOf(['tokens!group=muons']), inGroups),
    ['read:metrics'],
  )
})

/* Roles */

const base: ConfigurationInput = { flavours: {}, profiles: {}, spawners: {} }
const configured = (more: Partial<ConfigurationInput>) => configurationSchema.parse({ ...base, ...more })

function accessWith(more: Partial<ConfigurationInput>) {
  const members: Pick<RoleMembers, 'all'> = {
    all: () => Promise.resolve({ user: new Map([['eve', ['support']]]), group: new Map([['optics', ['helpers']]]) }),
  }
  return createAccess({ configuration: configured(more), groups: {} as Groups, members: members as RoleMembers })
}

test('everybody has their own; administrators have everything but what nobody should', async (t) => {
  const access = accessWith({})
  const ada = await access.ofUser({ name: 'ada', admin: false }, [])
  t.deepEqual(ada.roles, ['user'])
  t.true(allows(ada.permissions, 'access:servers', { kind: 'server', user: 'ada', server: 'x', groups: [] }))
  t.false(allows(ada.permissions, 'read:users', { kind: 'user', name: 'bob', groups: [] }))
  t.false(allows(ada.permissions, 'list:users'))
  const root = await access.ofUser({ name: 'root', admin: true }, [])
  t.deepEqual(root.roles, ['admin', 'user'])
  for (const scope of ['admin:users', 'admin:groups', 'servers', 'proxy', 'read:metrics'] as const) {
    t.true(allows(root.permissions, scope), scope)
  }
})

test('support staff see everybody and stop, and neither enter nor administer', async (t) => {
  const { roles, permissions: may } = await accessWith({}).ofUser({ name: 'eve', admin: false }, [])
  t.deepEqual(roles, ['support', 'user'])
  const other = { kind: 'server', user: 'bob', server: 'x', groups: [] } as const
  t.true(allows(may, 'read:servers', other) && allows(may, 'delete:servers', other) && allows(may, 'list:users'))
  t.false(allows(may, 'access:servers', other) || allows(may, 'admin:users') || allows(may, 'tokens'))
})

test("an instrument's local contacts reach its users alone", async (t) => {
  const access = accessWith({
    roles: { 'p06-contacts': { like: 'local-contact', of: ['p06'], groups: ['p06-staff'] } },
  })
  const { roles, permissions: may } = await access.ofUser({ name: 'cy', admin: false }, ['p06-staff'])
  t.deepEqual(roles, ['p06-contacts', 'user'])
  const guest = { kind: 'server', user: 'bob', server: 'x', groups: ['p06'] } as const
  t.true(allows(may, 'access:servers', guest) && allows(may, 'delete:servers', guest))
  t.false(allows(may, 'read:servers', { ...guest, groups: ['p07'] }))
  t.false(allows(may, 'list:users'))
})

test('roles come by name, by group and by what was given here; one that is not defined is nothing', async (t) => {
  const access = accessWith({ roles: { readers: { scopes: ['read:users'], users: ['bob'] } } })
  t.deepEqual((await access.ofUser({ name: 'bob', admin: false }, ['optics'])).roles, ['readers', 'user'])
  const helped = accessWith({ roles: { helpers: { scopes: ['read:hub'] } } })
  t.deepEqual((await helped.ofUser({ name: 'bob', admin: false }, ['optics'])).roles, ['helpers', 'user'])
})

test('a service has what the configuration gives it', (t) => {
  const services = {
    culler: { apiTokenFile: 'x', roles: ['cull'], scopes: ['read:hub'] },
    all: { apiTokenFile: 'y', admin: true },
  }
  const access = accessWith({ services, roles: { cull: { scopes: ['list:users', 'servers'] } } })
  const culler = access.ofService('culler')
  t.true(allows(culler.permissions, 'servers') && allows(culler.permissions, 'read:hub'))
  t.false(allows(culler.permissions, 'tokens') || culler.admin)
  t.true(access.ofService('all').admin)
  t.deepEqual(scopesOf(access.ofService('nobody').permissions), ['read:services:name!service=nobody'])
})

test('a role of the configuration takes the place of one of the same name', (t) => {
  const { roles } = configured({ roles: { user: { scopes: ['self', 'read:hub'] } } })
  t.deepEqual(defineRoles({ roles }).get('user')?.scopes, ['self', 'read:hub'])
})

const mistakes: readonly (readonly [string, RegExp | undefined])[] = [
  ['read:users', undefined],
  ['servers!server=ada/', undefined],
  ['servers!server', undefined],
  ['users!user', undefined],
  ['reed:users', /is not a scope/],
  ['read:users!', /filter/],
  ['read:users!users=ada', /filter/],
  ['read:users!user=a,b', /filter/],
  ['servers!server=ada', /filter/],
  ['self!user=ada', /takes no filter/],
]
for (const [text, expected] of mistakes) {
  test(`as a scope, ${text} is ${expected === undefined ? 'right' : 'refused'}`, (t) => {
    const problem = scopeProblem(text)
    if (expected === undefined) t.is(problem, undefined)
    else t.regex(problem ?? '', expected)
  })
}
