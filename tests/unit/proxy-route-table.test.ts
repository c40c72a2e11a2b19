/** The route table against a list that is searched from end to end. */
import test from 'ava'
import * as fc from 'fast-check'
import type { Route } from '../../proxy/feed.ts'
import { createRevocations } from '../../proxy/revocations.ts'
import { createRouteTable } from '../../proxy/route-table.ts'

const segment = fc.constantFrom('user', 'a', 'b', 'ab', 'e1', 'hub', '')
const path = fc.array(segment, { maxLength: 5 }).map((parts) => `/${parts.join('/')}`)
const prefix = path.map((text) => (text.endsWith('/') ? text : `${text}/`))
const host = fc.constantFrom(null, 'alice.localhost', 'bob.localhost')
const id = fc.constantFrom('e1', 'e2', 'e3', 'e4', 'e5', 'e6')
const route: fc.Arbitrary<Route> = fc.record({
  id,
  generation: fc.nat(3),
  prefix,
  host,
  owner: fc.constant({ id: 'u', name: 'u' }),
  target: fc.constant({ kind: 'unix' as const, path: '/x' }),
})
const step = fc.oneof(
  fc.record({ do: fc.constant('put' as const), route }),
  fc.record({ do: fc.constant('delete' as const), id }),
  fc.record({ do: fc.constant('replace' as const), routes: fc.array(route, { maxLength: 4 }) }),
)

/** The newest route of an id and of a place counts. */
function putInto(list: readonly Route[], added: Route): Route[] {
  const isReplaced = (other: Route): boolean =>
    other.id === added.id || (other.host === added.host && other.prefix === added.prefix)
  return [...list.filter((other) => !isReplaced(other)), added]
}

function findIn(list: readonly Route[], wantedHost: string | null, wantedPath: string): Route | undefined {
  return list
    .filter((each) => each.host === wantedHost && wantedPath.startsWith(each.prefix))
    .toSorted((one, other) => other.prefix.length - one.prefix.length)[0]
}

test('it finds what a list would find, whatever happened before', (t) => {
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 30 }),
      fc.array(fc.tuple(host, path), { minLength: 5 }),
      (steps, questions) => {
        const table = createRouteTable()
        let list: Route[] = []
        for (const each of steps) {
          switch (each.do) {
            case 'put':
              table.put(each.route)
              list = putInto(list, each.route)
              break
            case 'delete':
              table.delete(each.id)
              list = list.filter((other) => other.id !== each.id)
              break
            case 'replace':
              table.replace(each.routes)
              list = each.routes.reduce<Route[]>(putInto, [])
              break
          }
        }
        for (const [wantedHost, wantedPath] of questions) {
          const found = table.find(wantedHost, wantedPath)
          if (found !== findIn(list, wantedHost, wantedPath)) return false
          if (wantedHost !== null && table.hasHost(wantedHost) !== list.some((each) => each.host === wantedHost))
            return false
        }
        return table.size === list.length && list.every((each) => table.get(each.id) === each)
      },
    ),
    { numRuns: 2_000 },
  )
  t.pass()
})

test('a revocation reaches what was issued until then, and no later word weakens it', (t) => {
  const revocation = fc.record({
    kind: fc.constantFrom('login' as const, 'user' as const, 'share' as const),
    subject: fc.constantFrom('a', 'b'),
    at: fc.nat(20),
    until: fc.integer({ min: 100, max: 200 }),
  })
  const entry = fc.record({
    login: fc.constantFrom('a', 'b', 'c'),
    user: fc.record({ id: fc.constantFrom('a', 'b', 'c'), name: fc.constant('n') }),
    share: fc.constantFrom('a', 'b'),
    issuedAt: fc.nat(25),
  })
  fc.assert(
    fc.property(fc.array(revocation), entry, (all, asked) => {
      const revocations = createRevocations(() => 50)
      for (const each of all) revocations.add(each)
      const expected = all.some(
        ({ kind, subject, at }) =>
          asked.issuedAt <= at && subject === { login: asked.login, user: asked.user.id, share: asked.share }[kind],
      )
      return revocations.isRevoked(asked) === expected
    }),
    { numRuns: 2_000 },
  )
  t.pass()
})
