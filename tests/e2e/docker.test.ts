/** Images as they are built, on a real Docker. */
import test from 'ava'
import { startDocker } from '../support/docker.ts'

test('the images run as anybody, read-only, and tell what is in them', async (t) => {
  t.timeout(30 * 60_000, 'the first run builds the images')
  const docker = await startDocker(t, { images: ['notebook', 'hub'] })
  if (docker === undefined) return
  const run = async (image: string, line: string): Promise<string> =>
    await docker.docker(
      ...'run --rm --read-only --tmpfs /tmp --network none --user 12001:12001 --cap-drop ALL'.split(' '),
      docker.image(image),
      'sh',
      '-c',
      line,
    )
  const packages = await run('notebook', 'cat /usr/share/hutch/packages')
  t.regex(packages, /^debian git \S+$/m)
  t.regex(packages, /^python jupyterlab 4\.\S+$/m)
  t.is(
    await run('notebook', 'python -c "import numpy, scipy.optimize, h5py, pandas; print(numpy.ones(3).sum())"'),
    '3.0',
  )
  t.regex(await run('hub', 'hutch --version'), /^\d+\.\d+\.\d+$/)
  const labels = await docker.docker('image', 'inspect', '--format', '{{json .Config.Labels}}', docker.image('hub'))
  t.regex((JSON.parse(labels) as Record<string, string>)['org.opencontainers.image.version'] ?? '', /^\d+\.\d+/)
})
