import test from 'ava'
import * as fc from 'fast-check'
import { defaultApplication } from '../../images/agent/applications.ts'
import { endToEnd } from '../../images/agent/forward.ts'
import { fillIn } from '../../images/agent/placeholders.ts'
import { isSafePrefix, routeOf, type Route } from '../../images/agent/route.ts'

const prefix = '/user/alice/e1/'
const application = { hasApplication: true, hasHome: false }

test('where a request belongs', (t) => {
  const rows: readonly (readonly [url: string, to: string])[] = [
    ['/user/alice/e1/', 'application'],
    ['/user/alice/e1/lab?x=/_agent/stop', 'application'],
    ['/user/alice/e1/../../_agent/stop', 'application'],
    ['/user/alice/e1/_hutch', 'application'],
    ['/user/alice/e1/%5fhutch/terminal/', 'application'],
    ['/user/alice/e1/_hutch/terminal/', 'site terminal/'],
    ['/user/alice/e1/_hutch/terminal/ws?session=x', 'site terminal/ws'],
    ['/user/alice/e1', 'nowhere'],
    ['/user/alice/e2/', 'nowhere'],
    ['/user/alice/e1%2f', 'nowhere'],
    ['/', 'nowhere'],
    ['', 'nowhere'],
    ['/_agent/health', 'health'],
    ['/_agent/health?x', 'health'],
    ['/_agent/status', 'status'],
    ['/_agent/stop', 'stop'],
    ['/_agent/stop/', 'nowhere'],
    ['/_agent/', 'nowhere'],
    ['http://a/_agent/stop', 'nowhere'],
  ]
  for (const [url, expected] of rows) {
    const route = routeOf(url, prefix, application)
    t.is(route.to === 'site' ? `site ${route.path}` : route.to, expected, url)
  }
  const grounds: readonly (readonly [
    hasApplication: boolean,
    hasHome: boolean,
    root: Route['to'],
    below: Route['to'],
  ])[] = [
    [false, true, 'home', 'nowhere'],
    [true, true, 'home', 'application'],
    [true, false, 'application', 'application'],
  ]
  for (const [hasApplication, hasHome, root, below] of grounds) {
    t.is(routeOf(prefix, prefix, { hasApplication, hasHome }).to, root)
    t.is(routeOf(`${prefix}lab`, prefix, { hasApplication, hasHome }).to, below)
  }
})

test("law: what is below a safe prefix is never the hub's", (t) => {
  const safe = fc
    .webPath()
    .map((path) => `${path}/`.replaceAll(/\/+/g, '/'))
    .filter(isSafePrefix)
  fc.assert(
    fc.property(
      safe,
      fc.oneof(fc.webPath(), fc.constantFrom('_agent/stop', '/_agent/stop', '../_agent/stop')),
      (below, rest) => {
        t.true(['application', 'site'].includes(routeOf(below + rest, below, application).to))
      },
    ),
  )
  for (const unsafe of ['/', '//', '/_agent/', '/_agent/stop/', 'user/', '/user', '//_agent/'])
    t.false(isSafePrefix(unsafe), unsafe)
})

test('placeholders are filled in once, and only those that are known', (t) => {
  const values = { socket: '/s/{home}', prefix: '/p/', home: '/h', start: '$&' }
  t.is(fillIn('--sock={socket} {start}{start} {prefix}', values), '--sock=/s/{home} $&$& /p/')
  t.is(fillIn('{sock} {{home}} {HOME} { home }', values), '{sock} {/h} {HOME} { home }')
  t.is(fillIn('{socket}', {}), '{socket}')
})

test('law: no header of one hop, and none that Connection names, goes on; the rest does, in order', (t) => {
  const name = fc.constantFrom(
    'Host',
    'X-A',
    'x-b',
    'TE',
    'Upgrade',
    'Keep-Alive',
    'Connection',
    'Content-Length',
    'transfer-encoding',
  )
  const value = fc.constantFrom('1', 'x-a', 'close, X-B', 'host, content-length', '')
  fc.assert(
    fc.property(fc.array(fc.tuple(name, value)), (pairs) => {
      const kept = endToEnd(pairs.flat())
      const named = pairs.filter(([key]) => key === 'Connection').flatMap(([, list]) => list.toLowerCase().split(', '))
      const hop = ['te', 'upgrade', 'keep-alive', 'connection', 'transfer-encoding']
      const expected = pairs.filter(([key]) => {
        const lower = key.toLowerCase()
        if (lower === 'host' || lower === 'content-length') return true
        return !hop.includes(lower) && !named.includes(lower)
      })
      t.deepEqual(kept, expected.flat())
    }),
  )
})

test('the default commands', (t) => {
  const notebook = defaultApplication('notebook')
  t.deepEqual(notebook.argv.slice(0, 3), ['jupyter-lab', '--ServerApp.sock={socket}', '--ServerApp.sock_mode=0600'])
  t.deepEqual(defaultApplication('terminal').argv, [])
  t.is(defaultApplication('web'), undefined)
  t.deepEqual(defaultApplication('desktop').argv, ['xfce4-session'])
  t.is(defaultApplication('desktop').landingPath, '_hutch/desktop/')
})
