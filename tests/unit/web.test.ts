/** The pure half of the pages: words, addresses, and what an environment looks like. */
import test from 'ava'
import * as fc from 'fast-check'
import { configurationSchema } from '../../config/schema.ts'
import type { State } from '../../hub/domain/environment.ts'
import { describeBrowser } from '../../hub/web/browser-name.ts'
import { environmentUrl, pathWithin } from '../../hub/web/environment-url.ts'
import { environmentView, isTrouble, steps, versionOf } from '../../hub/web/environment-view.ts'
import { formatBytes, formatCores, formatDuration, formatMoment, formatRelative } from '../../hub/domain/format.ts'
import { createWeb } from '../../hub/web/render.ts'
import { isEnvironmentId, type Stage } from '../../spawners/spawner.ts'
import { fakeEnvironment } from '../support/fakeHub.ts'

const second = 1_000
const now = new Date('2026-11-21T10:52:00Z')

const words: readonly (readonly [string, string])[] = [
  [formatBytes(0), '0 B'],
  [formatBytes(1_536), '1.5 KiB'],
  [formatBytes(4 * 2 ** 30), '4 GiB'],
  [formatBytes(2 ** 30 * 31.4), '31 GiB'],
  [formatBytes(-5), '0 B'],
  [formatCores(0.25), '0.3'],
  [formatCores(16), '16'],
  [formatDuration(6_200), '6 s'],
  [formatDuration(89 * second), '89 s'],
  [formatDuration(90 * second), '2 min'],
  [formatDuration(90 * 60 * second), '1.5 h'],
  [formatDuration(8 * 3_600 * second), '8 h'],
  [formatDuration(30 * 86_400 * second), '30 days'],
  [formatDuration(-1), '0 s'],
  [formatRelative(new Date(now.getTime() - 3_000), now), 'just now'],
  [formatRelative(new Date(now.getTime() + 3_000), now), 'in a moment'],
  [formatRelative(new Date(now.getTime() - 180_000), now), '3 min ago'],
  [formatRelative(new Date(now.getTime() + 5.6 * 3_600_000), now), 'in 5.6 h'],
  [formatMoment(now), '21 Nov 2026, 10:52 UTC'],
  [describeBrowser('Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0'), 'Firefox on Linux'],
  [describeBrowser('Mozilla/5.0 (Windows NT 10.0) Chrome/142.0 Safari/537.36 Edg/142.0'), 'Edge on Windows'],
  [describeBrowser('Mozilla/5.0 (Linux; Android 16) Chrome/142.0 Mobile Safari/537.36'), 'Chrome on Android'],
  [describeBrowser('curl/8.0'), 'A browser'],
]

test('quantities and times read as people say them', (t) => {
  for (const [got, wanted] of words) t.is(got, wanted)
})

test('a next stays beneath the prefix in the reading of every URL parser, or counts for nothing', (t) => {
  const prefix = '/user/alice/e1/'
  const piece = fc.constantFrom(
    '..',
    '.',
    '%2e%2e',
    '%2E.',
    '/',
    '\\',
    '//',
    'a',
    '%2f',
    '\t',
    '\n',
    '?',
    '#',
    '@',
    ':',
    '%00',
    '😀',
    'e2',
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const within = pathWithin(prefix, prefix + pieces.join(''))
      if (within === undefined) return
      const url = new URL(within, 'https://hub.example')
      t.is(url.origin, 'https://hub.example')
      t.true(url.pathname.startsWith(prefix), within)
    }),
    { numRuns: 2_000 },
  )
  for (const next of [
    undefined,
    '',
    '/',
    '//evil.example',
    'https://evil.example',
    '/user/alice/e10/',
    '/user/alice/e1',
    '/user/alice/e1/\\evil.example',
    '/user/alice/e1/a\nb',
  ]) {
    t.is(pathWithin(prefix, next), undefined)
  }
  t.is(pathWithin(prefix, `${prefix}lab/tree/a%20b.ipynb?x=1#y`), `${prefix}lab/tree/a%20b.ipynb?x=1#y`)
})

test('an environment answers on the hub, or on its owner’s own host name', (t) => {
  const publicUrl = new URL('https://hutch.example.org:8443/')
  const environment = fakeEnvironment(id('e1'))
  t.is(environmentUrl(environment, configuration(), publicUrl), 'https://hutch.example.org:8443/user/alice/e1/lab')
  const own = configuration('{user}.envs.example.org')
  t.is(environmentUrl(environment, own, publicUrl), 'https://alice.envs.example.org:8443/user/alice/e1/lab')
  const next = '/user/alice/e1/lab/tree/x'
  t.is(environmentUrl(environment, own, publicUrl, next), `https://alice.envs.example.org:8443${next}`)
})

const states: readonly State[] = [
  ...(['accepted', 'queued', 'scheduling', 'pulling', 'mounting', 'starting', 'of a later release'] as const).map(
    (stage): State => ({ is: 'starting', stage, message: 'Wait.' }),
  ),
  { is: 'ready' },
  { is: 'unreachable', message: 'No answer.' },
  { is: 'stopping' },
  { is: 'ended', reason: 'nodeLost', message: 'Gone.', at: now, log: 'x' },
]

test('every state has words; stages only ever go forward on the page', (t) => {
  let step = 0
  for (const state of states) {
    const view = environmentView({ ...fakeEnvironment(id('e1')), state }, context)
    t.is(view.state, state.is)
    t.not(view.stateTitle, '')
    if (state.is !== 'starting') continue
    t.true((view.step ?? -1) >= step && (view.step ?? 99) < steps.length, state.stage)
    step = view.step ?? 0
    t.true(isStageOrLast(view.stage))
  }
  t.true(isTrouble('outOfMemory'))
  t.false(isTrouble('cancelled'))
})

const isStageOrLast = (stage: Stage | undefined): boolean => stage !== undefined

test('the version changes with what is drawn, and not with use', (t) => {
  const environment = fakeEnvironment(id('e1'))
  const view = environmentView(environment, context)
  const busy = environmentView(environment, { ...context, usage: { cpu: 1, memoryBytes: 5 } })
  const renamed = environmentView({ ...environment, title: 'Other' }, context)
  t.is(versionOf([view]), versionOf([busy]))
  t.not(versionOf([view]), versionOf([renamed]))
  t.not(versionOf([view]), versionOf([]))
})

test('whatever a name holds, the page holds it as text', (t) => {
  const web = createWeb({ hub: { title: 'Hutch', contact: 'us' }, warnMs: 600_000, now: () => now })
  fc.assert(
    fc.property(
      fc.string({ unit: 'grapheme', maxLength: 40 }),
      fc.constantFrom('<img src=x onerror=y>', '"><script>', "' onclick='"),
      (text, markup) => {
        const view = environmentView(
          { ...fakeEnvironment(id('e1')), title: text + markup, image: markup + text, proposals: [markup] },
          context,
        )
        const html = web.render('home', {
          version: 'v',
          live: [view],
          ended: [],
          proposals: { items: [], total: 0, search: markup, offset: 0, limit: 10 },
          notices: [markup],
        })
        t.false(/<img|<script>|onclick='/.test(html))
      },
    ),
    { numRuns: 50 },
  )
})

test('a list that the catalogue gave some time ago says when, at home and where one launches', (t) => {
  const web = createWeb({ hub: { title: 'Hutch', contact: 'us' }, warnMs: 600_000, now: () => now })
  const asOf = new Date(now.getTime() - 20 * 60_000)
  const proposals = { items: [], total: 0, search: '', offset: 0, limit: 10 }
  const home = { version: 'v', live: [], ended: [], notices: [] }
  const choices = { chosen: [], found: [], total: 0, search: '', limit: 8 }
  const said = /does not answer just now\. This is what it said <time datetime="[^"]+"[^>]*>20 min ago</
  t.regex(web.render('home', { ...home, proposals: { ...proposals, asOf } }), said)
  t.regex(web.render('parts/proposal-choices', { ...choices, asOf }), said)
  t.notRegex(web.render('home', { ...home, proposals }), said)
  t.notRegex(web.render('parts/proposal-choices', choices), said)
})

function id(text: string): ReturnType<typeof fakeEnvironment>['id'] {
  if (isEnvironmentId(text)) return text
  throw new Error('not an id')
}

function configuration(hosts?: string) {
  return configurationSchema.parse({
    flavours: {},
    profiles: {},
    spawners: {},
    environments: hosts === undefined ? {} : { hosts },
  })
}

const context = {
  configuration: configuration(),
  publicUrl: new URL('http://127.0.0.1:8000'),
  usage: undefined,
}
