/** As many routes as a large facility has, by path and by host: each found, changed in order, kept over a kill. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { ask, route, startProxy, upstream, type RunningProxy } from '../support/proxy.ts'
import { until } from '../support/until.ts'

const many = 50_000
type Route = ReturnType<typeof route>

test('50,000 routes by path and by host: found, changed in order, and served from the disk after kill -9', async (t) => {
  t.timeout(600_000)
  const { target } = await upstream(t, ({ url, headers }, response) => response.end(`${headers.host} ${url}`))
  const routes = Array.from({ length: many }, (_, n) => {
    const host = n % 2 === 0 ? null : `user${n}.envs.test`
    return route(`e${n}`, target, { host, prefix: `/user/user${n}/e${n}/` })
  })
  const proxy = await startProxy(t, { hosts: '{user}.envs.test' }, { routes })
  t.like(JSON.parse(await proxy.control('/health')), { routes: many, feed: true })
  const [first] = routes
  if (first === undefined) return t.fail()
  await proxy.hub.delete(first.id)
  const added = route('added', target, { prefix: '/user/new/added/' })
  await proxy.hub.put(added)
  const some = [added, ...routes.filter((_, n) => n % 997 === 1)]
  await answers(t, proxy, some)
  t.is((await answerOf(proxy, first)).status, 404)
  const resident = Number(/hutch_proxy_resident_bytes (\d+)/.exec(await proxy.control('/metrics'))?.[1])
  t.true(resident < 300 * 2 ** 20, `${resident} bytes`)
  t.log(`${Math.round(resident / 2 ** 20)} MiB resident`)

  const onDisk = async (): Promise<string> =>
    await readFile(join(proxy.folder, 'snapshot.json'), 'utf8').catch(() => '')
  const isWritten = async (): Promise<boolean> => {
    const text = await onDisk()
    return text.includes('"added"') && !text.includes('"e0"')
  }
  await until('the changes are on the disk', isWritten, { timeoutMs: 60_000, everyMs: 500 })
  await proxy.hub.close()
  await proxy.kill()
  await proxy.start()
  t.like(JSON.parse(await proxy.control('/health')), { routes: many, feed: false })
  await answers(t, proxy, some)
  t.is((await answerOf(proxy, first)).status, 404)
  return undefined
})

async function answers(t: ExecutionContext, proxy: RunningProxy, routes: readonly Route[]): Promise<void> {
  for (const to of routes) {
    t.like(await answerOf(proxy, to), { status: 200, body: `${hostOf(to)} ${to.prefix}` }, to.id)
  }
}

async function answerOf(proxy: RunningProxy, to: Route): Promise<{ status: number; body: string }> {
  return await ask(`${proxy.url}${to.prefix}`, { headers: { cookie: proxy.entry(to), host: hostOf(to) } })
}

function hostOf({ host }: Route): string {
  return host ?? '127.0.0.1'
}
