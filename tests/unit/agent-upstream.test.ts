import test from 'ava'
import { upstreamOf } from '../../images/agent/upstream.ts'

const prefix = '/user/alice/e1/'
const plain = upstreamOf({ socket: '/s', prefix })
const root = upstreamOf({ socket: '/s', prefix, port: 8080, atRoot: true })

test('an application that knows its prefix is passed on to as it is', (t) => {
  t.deepEqual(plain.to, { socketPath: '/s' })
  t.is(plain.path(`${prefix}a?b=/c`), `${prefix}a?b=/c`)
  t.deepEqual(plain.fields(['Location', '/x', 'Set-Cookie', 'a=1; Path=/']), [
    'Location',
    '/x',
    'Set-Cookie',
    'a=1; Path=/',
  ])
  t.deepEqual(plain.told, [])
})

for (const [url, path] of [
  [prefix, '/'],
  [`${prefix}a/b?c=${prefix}`, `/a/b?c=${prefix}`],
  [`${prefix}/etc`, '//etc'],
  ['/elsewhere', '/elsewhere'],
] as const) {
  test(`one that knows of none is asked for ${path} instead of ${url}`, (t) => t.is(root.path(url), path))
}

for (const [name, value, seen] of [
  ['Location', '/login?next=/', `${prefix}login?next=/`],
  ['location', 'relative/x', 'relative/x'],
  ['Location', '//elsewhere/x', '//elsewhere/x'],
  ['Location', 'https://elsewhere/x', 'https://elsewhere/x'],
  ['Set-Cookie', 'a=1; Path=/; HttpOnly', `a=1; Path=${prefix}; HttpOnly`],
  ['Set-Cookie', 'a=/; path=/b', `a=/; path=${prefix}b`],
  ['Set-Cookie', 'a=1', 'a=1'],
  ['X-Other', '/x', '/x'],
] as const) {
  test(`what it answers leads back: ${name}: ${value}`, (t) => t.deepEqual(root.fields([name, value]), [name, seen]))
}
