/** Server-sent events: what pages follow live. Bounded, closed when the login ends, and nobody else's. */
import { get, type ClientRequest, type IncomingMessage } from 'node:http'
import { once } from 'node:events'
import test, { type ExecutionContext } from 'ava'
import { type FakeHub, fakeHub } from '../support/fakeHub.ts'
import { until } from '../support/until.ts'

interface Follower {
  readonly status: number
  readonly events: { name: string; data: Record<string, unknown> }[]
  readonly ended: () => boolean
  leave(): void
}

test('the page of one environment sees every stage, and others of the same person are none of it', async (t) => {
  const hub = await fakeHub(t)
  hub.environments.put({ id: 'mine1', state: { is: 'starting', stage: 'accepted', message: 'Accepted.' } })
  const follower = await follow(t, hub, '/hub/api/v1/environments/mine1/events')
  await until('the first state', () => follower.events.length === 1)
  t.like(follower.events[0], { name: 'state', data: { state: 'starting', step: 0, usualStartMs: 6_200 } })

  hub.environments.put({ id: 'mine2' })
  hub.environments.put({
    id: 'mine1',
    state: { is: 'starting', stage: 'queued', message: 'The cluster is full.', position: 3 },
  })
  await until('the queue', () => follower.events.length === 2)
  t.like(follower.events[1]?.data, { step: 1, message: 'The cluster is full.', position: 3 })
  hub.environments.put({ id: 'mine1', state: { is: 'ready' } })
  await until('ready', () => follower.events.length === 3)
  t.like(follower.events[2]?.data, { state: 'ready', url: `${hub.url}/user/alice/mine1/lab` })
  const at = new Date()
  hub.environments.put({
    id: 'mine1',
    state: { is: 'ended', reason: 'outOfMemory', message: 'Too much.', at, log: 'Killed' },
  })
  await until('the end', () => follower.events.length === 4)
  t.like(follower.events[3]?.data, { state: 'ended', reason: 'outOfMemory', message: 'Too much.', log: 'Killed' })
})

test('home follows all of mine and none of anybody else', async (t) => {
  const hub = await fakeHub(t)
  hub.environments.put({ id: 'mine1' })
  const follower = await follow(t, hub, '/hub/api/v1/events', { 'Last-Event-ID': '12' })
  await until('the first list', () => follower.events.length === 1)
  hub.environments.put({ id: 'bobs1', userId: 'u-bob', owner: 'bob' })
  hub.environments.put({ id: 'mine2' })
  await until('the second list', () => follower.events.length === 2)
  const items = follower.events.map(({ data }) => (data['items'] as { id: string }[]).map(({ id }) => id).toSorted())
  t.deepEqual(items, [['mine1'], ['mine1', 'mine2']])
  t.not(follower.events[0]?.data['version'], follower.events[1]?.data['version'])
})

test('a thousand changes become few events, and the last one is what is true', async (t) => {
  const hub = await fakeHub(t)
  hub.environments.put({ id: 'mine1' })
  const follower = await follow(t, hub, '/hub/api/v1/events')
  for (let count = 0; count < 1_000; count += 1) hub.environments.put({ id: 'mine1', title: `Title ${count}` })
  await until('the last', () => JSON.stringify(follower.events).includes('Title 999'))
  t.true(follower.events.length < 50, `${follower.events.length} events`)
})

test('a logout closes the streams at the next heartbeat, and nothing is told before', async (t) => {
  const hub = await fakeHub(t, {}, { heartbeatMs: 50 })
  hub.environments.put({ id: 'mine1' })
  const follower = await follow(t, hub, '/hub/api/v1/events')
  await until('a heartbeat', () => follower.events.some(({ name }) => name === 'heartbeat'))
  hub.logOut('alice')
  hub.environments.put({ id: 'mine1', title: 'Secret' })
  await until('the end', follower.ended)
  t.is(follower.events.at(-1)?.name, 'logout')
  t.notRegex(JSON.stringify(follower.events), /Secret/)
  await until('no subscriber', () => hub.environments.subscribers === 0)
  t.is((await follow(t, hub, '/hub/api/v1/events')).status, 401)
})

test('at most twelve for one login: one more takes the place of the oldest', async (t) => {
  const hub = await fakeHub(t)
  const followers: Follower[] = []
  for (let count = 0; count < 12; count += 1) followers.push(await follow(t, hub, '/hub/api/v1/events'))
  const bobs = await follow(t, hub, '/hub/api/v1/events', {}, 'bob')
  t.is(bobs.status, 200)
  for (const place of [0, 1]) {
    const next = await follow(t, hub, '/hub/api/v1/events')
    t.is(next.status, 200)
    await until('it has its first list', () => next.events.length > 0)
    followers.push(next)
    const oldest = followers[place]
    await until('the oldest was closed', () => oldest?.ended() === true)
    t.is(oldest?.events.at(-1)?.name, 'replaced')
    t.is(hub.environments.subscribers, 13, 'twelve of hers and his one')
  }
  hub.environments.put({ id: 'mine1' })
  await until('the others are told', () => followers.slice(2).every(({ events }) => events.length >= 2))
  t.true([...followers.slice(2), bobs].every(({ ended }) => !ended()))
  followers[5]?.leave()
  await until('room', () => hub.environments.subscribers === 12)
  t.is((await follow(t, hub, '/hub/api/v1/events')).status, 200)
  t.false(followers[2]?.ended(), 'who leaves makes room')
  t.deepEqual(
    hub.lines.filter(({ level }) => level === 'error'),
    [],
    'a page that is closed is no error',
  )
})

test('HEAD opens no stream', async (t) => {
  const hub = await fakeHub(t)
  const answer = await fetch(`${hub.url}/hub/api/v1/events`, { method: 'HEAD', headers: { Cookie: 'fake-user=alice' } })
  t.is(answer.status, 200)
  t.is(hub.environments.subscribers, 0)
})

test('a stream that fails is closed, logged and forgotten', async (t) => {
  const hub = await fakeHub(t)
  const follower = await follow(t, hub, '/hub/api/v1/events')
  await until('the first list', () => follower.events.length === 1)
  hub.failing.store = new Error('gone')
  hub.environments.put({ id: 'mine1' })
  await until('the end', follower.ended)
  await until('no subscriber', () => hub.environments.subscribers === 0)
  t.true(hub.lines.some(({ level, message }) => level === 'warn' && message === 'an event stream was closed'))
})

async function follow(
  t: ExecutionContext,
  hub: FakeHub,
  path: string,
  headers: Record<string, string> = {},
  as = 'alice',
): Promise<Follower> {
  const request: ClientRequest = get(hub.url + path, {
    agent: false,
    headers: { Accept: 'text/event-stream', Cookie: `fake-user=${as}`, ...headers },
  })
  t.teardown(() => request.destroy())
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  const events: Follower['events'] = []
  let ended = false
  let buffer = ''
  response.setEncoding('utf8')
  response.on('data', (chunk: string) => {
    buffer += chunk
    const blocks = buffer.split('\n\n')
    buffer = blocks.pop() ?? ''
    for (const block of blocks) {
      const name = /^event: (.*)$/m.exec(block)?.[1]
      const data = /^data: (.*)$/m.exec(block)?.[1]
      if (name && data) events.push({ name, data: JSON.parse(data) as Record<string, unknown> })
    }
  })
  response.on('error', () => {}) // the test leaves in mid-stream
  response.on('close', () => (ended = true))
  return { status: response.statusCode ?? 0, events, ended: () => ended, leave: () => request.destroy() }
}
