/** Several processes share the port; one of them decides. */
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { WebSocket, WebSocketServer } from 'ws'
import { ask, route, startProxy, upstream, type RunningProxy } from '../support/proxy.ts'
import { until } from '../support/until.ts'

async function workersOf(proxy: RunningProxy): Promise<number[]> {
  const text = await readFile(`/proc/${proxy.process.pid}/task/${proxy.process.pid}/children`, 'utf8')
  return text.split(' ').filter(Boolean).map(Number)
}

test('an acknowledged change is everywhere, a ticket is used once, and a dead worker is replaced', async (t) => {
  const behind = await upstream(t, (_request, response) => response.end('ok'))
  const sockets = new WebSocketServer({ server: behind.server })
  sockets.on('connection', (socket) => socket.on('error', () => {}))
  const proxy = await startProxy(t, { workers: 3 })
  t.is((await workersOf(proxy)).length, 3)
  const status = async (to: ReturnType<typeof route>): Promise<number> =>
    (await ask(`${proxy.url}${to.prefix}`, { headers: { cookie: proxy.entry(to) } })).status

  for (let index = 0; index < 20; index += 1) {
    const to = route(`e${index}`, behind.target)
    await proxy.hub.put(to)
    const all = await Promise.all(Array.from({ length: 12 }, () => status(to)))
    t.true(
      all.every((each) => each === 200),
      all.join(' '),
    )
    await proxy.hub.delete(to.id)
    const gone = await Promise.all(Array.from({ length: 12 }, () => status(to)))
    t.true(
      gone.every((each) => each === 404),
      gone.join(' '),
    )
  }

  const to = route('e1', behind.target)
  await proxy.hub.put(to)
  const nonce = 'n'.repeat(43)
  const body = new URLSearchParams({ ticket: proxy.ticket(to, nonce), next: to.prefix }).toString()
  const options = { method: 'POST', headers: { origin: proxy.url, cookie: `hutch-nonce=${nonce}` }, body }
  const entered = await Promise.all(
    Array.from({ length: 12 }, () => ask(`${proxy.url}${to.prefix}_hutch/enter`, options)),
  )
  t.is(entered.filter((reply) => reply.status === 303).length, 1)

  const open = await Promise.all(
    Array.from({ length: 9 }, async () => {
      const socket = new WebSocket(`ws://127.0.0.1:${proxy.port}${to.prefix}`, { headers: { cookie: proxy.entry(to) } })
      socket.on('error', () => {})
      await new Promise((resolve) => socket.once('open', resolve))
      return socket
    }),
  )
  t.regex(await proxy.control('/metrics'), /hutch_proxy_live\{kind="websocket"\} 9\n/)
  const revoked = Date.now()
  await proxy.hub.revoke({ kind: 'user', subject: to.owner.id, at: revoked, until: revoked + 60_000 })
  await until('all are closed', () => open.every((socket) => socket.readyState === WebSocket.CLOSED), {
    timeoutMs: 3_000,
  })
  await sleep(5)

  const [victim] = await workersOf(proxy)
  if (victim === undefined) return t.fail()
  process.kill(victim, 'SIGKILL')
  await until(
    'there are three again',
    async () => {
      const now = await workersOf(proxy)
      return now.length === 3 && !now.includes(victim) && /"workers":3/.test(await proxy.control('/health'))
    },
    { timeoutMs: 30_000 },
  )
  const next = route('e99', behind.target)
  await proxy.hub.put(next)
  const all = await Promise.all(Array.from({ length: 12 }, () => status(next)))
  t.true(
    all.every((each) => each === 200),
    all.join(' '),
  )

  const workers = await workersOf(proxy)
  t.is(await proxy.stop(), 0)
  await until('the workers are gone', () => workers.every((pid) => !isAlive(pid)))
  await proxy.start()
  const orphans = await workersOf(proxy)
  await proxy.kill()
  await until('workers do not outlive the primary', () => orphans.every((pid) => !isAlive(pid)))
  return undefined
})

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
