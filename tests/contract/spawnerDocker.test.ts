import test from 'ava'
import { spawnerContract } from '../../spawners/contract.ts'
import { startDocker } from '../support/docker.ts'
import { dockerSite, dockerSubject } from '../support/dockerSubject.ts'

test('docker: the whole contract on a real daemon', async (t) => {
  t.timeout(30 * 60_000, 'the first run makes the images')
  const docker = await startDocker(t)
  if (docker === undefined) return
  const subject = dockerSubject(await dockerSite(t, docker))
  const together = spawnerContract.filter(({ alone }) => !alone)
  const alone = spawnerContract.filter((each) => each.alone)
  const failed = await Promise.all(
    together.map(
      async ({ title, run }) =>
        await run(subject).then(
          () => [],
          (error: unknown) => [[title, error]],
        ),
    ),
  )
  for (const [title, error] of failed.flat()) t.fail(`${String(title)}: ${String(error)}`)
  for (const { title, run } of alone) await t.notThrowsAsync(run(subject), title)
  const left = async (...argv: readonly string[]) => (await docker.docker(...argv)).trim()
  t.is(await left('volume', 'ls', '--quiet', '--filter', 'label=dev.hutch.hub'), '', 'a volume is left')
  t.is(await left('ps', '--all', '--quiet'), '', 'a container is left')
})
