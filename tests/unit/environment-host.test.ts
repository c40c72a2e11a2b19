import test from 'ava'
import { assert, property, stringMatching } from 'fast-check'
import { environmentHost } from '../../hub/domain/environment-host.ts'

const pattern = '{user}.envs.example.org'
const userName = stringMatching(/^[a-z][a-z0-9._-]{0,63}$/)

test('a name that is a label stays as it is', (t) => {
  for (const name of ['ada', 'anna-maria', 'x1']) t.is(environmentHost(pattern, name), `${name}.envs.example.org`)
})

test('every name is one label, which no other name has', (t) => {
  assert(
    property(userName, userName, (a, b) => {
      const [one, other] = [environmentHost(pattern, a), environmentHost(pattern, b)]
      const label = one.slice(0, -'.envs.example.org'.length)
      return (
        /^[a-z0-9][a-z0-9-]{0,62}$/.test(label) &&
        !label.endsWith('-') &&
        new URL(`https://${one}`).hostname === one &&
        (a === b) === (one === other)
      )
    }),
  )
  t.not(environmentHost(pattern, 'a.b'), environmentHost(pattern, 'a_b'))
  t.not(environmentHost(pattern, environmentHost('{user}', 'a.b')), environmentHost(pattern, 'a.b'))
})
