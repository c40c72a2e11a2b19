/** A Docker on another machine: over TLS, where agents are reached by ports that are published there. */
import { once } from 'node:events'
import { mkdtemp } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { authority } from './certificate.ts'
import type { DockerSite } from './dockerSubject.ts'
import { agentApplication } from './spawnerSubject.ts'
import { until } from './until.ts'

export async function dockerElsewhere(t: ExecutionContext, site: DockerSite): Promise<void> {
  const { secured } = site.docker
  if (secured === undefined) throw new Error('a bug: this Docker speaks no TLS')
  const { host, endpoint, ca, client } = secured
  const signal = AbortSignal.timeout(600_000)
  const patience = { timeoutMs: 180_000, everyMs: 100 }
  const publish = { host, ports: [20_000, 20_009] as [number, number] }
  const tls = { caFile: ca, certificateFile: client.cert, keyFile: client.key }
  const spawner = await site.spawner('far', { endpoint, tls, publish })
  t.teardown(() => spawner.close?.())
  t.like(await spawner.check?.(signal), { ok: true })
  const spec = site.spec('far', 'far', agentApplication({ does: 'run' }))
  await spawner.ensure(spec, signal)
  const seen = async () => (await spawner.observe(signal)).get(spec.id)?.observation
  const running = await until(
    'it runs',
    async () => {
      const observation = await seen()
      return observation?.phase === 'running' && observation
    },
    patience,
  )
  t.deepEqual(running.hosts, [host])
  await until('its agent is reached where it is published', () => connects(host, publish.ports[0]), patience)
  await spawner.remove(spec.id, signal)
  await until('it is gone', async () => (await seen()) === undefined, patience)

  // Who has a certificate of somebody else's gets nowhere, and reads why.
  const other = await authority(await mkdtemp(join(site.folder, 'stranger-')))
  const { cert, key } = await other.sign('stranger')
  const refused = [
    { caFile: ca, certificateFile: cert, keyFile: key },
    { ...tls, caFile: other.ca },
  ]
  for (const wrong of refused) {
    const stranger = await site.spawner('stranger', { endpoint, tls: wrong, publish })
    t.teardown(() => stranger.close?.())
    const { ok, message = '' } = (await stranger.check?.(signal)) ?? {}
    t.false(ok)
    t.regex(message, /^Docker does not answer: [A-Z_0-9/]+\.$/)
    await t.throwsAsync(stranger.observe(signal))
  }
}

async function connects(host: string, port: number): Promise<boolean> {
  const socket = createConnection({ host, port })
  try {
    await once(socket, 'connect', { signal: AbortSignal.timeout(2_000) })
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
