/** A Docker whose disk is full, really: while an image is fetched, and while a container is made. */
import { execFile } from 'node:child_process'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test from 'ava'
import { profileSchema } from '../../spawners/docker/config.ts'
import { diskIsFull } from '../../spawners/docker/words.ts'
import { startRegistry } from '../support/docker-registry.ts'
import { startDocker, type TestDocker } from '../support/docker.ts'
import { dockerSite } from '../support/dockerSubject.ts'
import { agentApplication } from '../support/spawnerSubject.ts'
import { until } from '../support/until.ts'

const run = promisify(execFile)
const megabyte = 2 ** 20
const [diskBytes, imageBytes] = [160 * megabyte, 24 * megabyte]

test('a full disk is told in one sentence, whether it is met by a pull or by a container, and what waits comes later', async (t) => {
  t.timeout(15 * 60_000)
  const docker = await startDocker(t, { diskBytes })
  if (docker === undefined) return
  const site = await dockerSite(t, docker)
  const registry = await startRegistry(t, docker)
  await importImage(docker, site.folder)
  await registry.push('heavy:1')
  await docker.docker('image', 'rm', 'heavy:1')
  const spawner = await site.spawner('disk')
  t.teardown(() => spawner.close?.())
  const signal = AbortSignal.timeout(600_000)
  const spec = (id: string) =>
    site.spec('disk', id, agentApplication({ does: 'run' }), {
      image: `${registry.address}/heavy:1`,
      profile: profileSchema.parse({}),
    })
  const ballast = join(docker.data, 'ballast')

  // Less is left than the image needs.
  await fill(ballast, docker.data, imageBytes / 2)
  await spawner.ensure(spec('pulls'), signal)
  const told = await until(
    'the pull has failed',
    async () => {
      const seen = (await spawner.observe(signal)).get(spec('pulls').id)?.observation
      return seen?.phase === 'ended' && seen
    },
    { timeoutMs: 120_000, everyMs: 200 },
  )
  t.like(told, { reason: 'launchRefused', message: diskIsFull })
  await spawner.remove(spec('pulls').id, signal)

  await rm(ballast)
  await docker.docker('pull', '--quiet', spec('pulls').image ?? '')
  await fill(ballast, docker.data, 0)
  const refused = await t.throwsAsync(spawner.ensure(spec('makes'), signal))
  t.is(refused.message, diskIsFull)
  await rm(ballast)
  t.is(await docker.docker('ps', '--all', '--quiet'), '', 'nothing half-made is left')
})

/** A file that nothing can pack. */
async function importImage(docker: TestDocker, folder: string): Promise<void> {
  const root = join(folder, 'heavy')
  await mkdir(root)
  await writeFile(join(root, 'content'), randomBytes(imageBytes))
  await run('tar', ['-C', root, '-cf', `${root}.tar`, '.'])
  await docker.docker('import', `${root}.tar`, 'heavy:1')
}

/** All but `left` bytes of what is free. */
async function fill(file: string, folder: string, left: number): Promise<void> {
  const { stdout } = await run('df', ['--output=avail', '-B1', folder])
  const free = Number(stdout.trim().split('\n').at(-1))
  await run('dd', [
    'if=/dev/zero',
    `of=${file}`,
    'bs=65536',
    `count=${Math.ceil(Math.max(0, free - left) / 65_536)}`,
  ]).catch((error: unknown) => {
    // To the last byte: that is what was wanted.
    if (left > 0) throw error
  })
}
