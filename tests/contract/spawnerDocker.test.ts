import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { spawnerContract } from '../../spawners/contract.ts'
import { startDocker } from '../support/docker.ts'
import { dockerElsewhere } from '../support/dockerElsewhere.ts'
import { type DockerSite, dockerSite, dockerSubject } from '../support/dockerSubject.ts'
import { until } from '../support/until.ts'

test('docker: the whole contract on a real daemon', async (t) => {
  t.timeout(30 * 60_000, 'the first run makes the images')
  const docker = await startDocker(t, { tls: true })
  if (docker === undefined) return
  const site = await dockerSite(t, docker)
  const subject = dockerSubject(site)
  const together = spawnerContract.filter(({ alone }) => !alone)
  const alone = spawnerContract.filter((each) => each.alone)
  const sideBySide = [
    ...together.map(({ title, run }) => ({ title, run: () => run(subject) })),
    { title: 'restored data', run: () => chosen(t, site) },
    { title: 'Kerberos tickets', run: () => ticketed(t, site) },
  ]
  const failed = await Promise.all(
    sideBySide.map(
      async ({ title, run }) =>
        await run().then(
          () => [],
          (error: unknown) => [[title, error]],
        ),
    ),
  )
  for (const [title, error] of failed.flat()) t.fail(`${String(title)}: ${String(error)}`)
  for (const { title, run } of alone) await t.notThrowsAsync(run(subject), title)
  await dockerElsewhere(t, site)
  const left = async (...argv: readonly string[]) => (await docker.docker(...argv)).trim()
  t.is(await left('volume', 'ls', '--quiet', '--filter', 'label=dev.hutch.hub'), '', 'a volume is left')
  t.is(await left('ps', '--all', '--quiet'), '', 'a container is left')
})

/** A path that somebody chose: the folder itself is there, and a link on the way is refused wherever it is. */
async function chosen(t: ExecutionContext, site: DockerSite): Promise<void> {
  const root = join(site.folder, 'restored')
  for (const path of [join(root, 'p1/scan'), join(site.folder, 'secret/scan')]) await mkdir(path, { recursive: true })
  await writeFile(join(root, 'p1/scan/run1'), 'restored from tape 4711\n')
  await symlink(join(site.folder, 'secret'), join(root, 'out'))
  await symlink('p1', join(root, 'inside'))
  await symlink('/etc', join(root, 'p1/etc'))
  const spawner = await site.spawner('chosen')
  const deadline = () => AbortSignal.timeout(120_000)
  const specOf = (path: string, id: string) => {
    const application = {
      kind: 'web',
      argv: ['/bin/cat', '/restored/scan/run1'],
      readyPath: '',
      landingPath: '',
    } as const
    const spec = site.spec('chosen', id, application)
    const source = { kind: 'host', path: join(root, path) } as const
    const scan = { name: 'scan', source, target: '/restored/scan', readOnly: true, beneath: root }
    return { ...spec, mounts: [...spec.mounts, scan] }
  }
  try {
    const refused = [
      ['out/scan', /a link in .*out\/scan leads elsewhere/],
      ['out', /a link in/],
      ['inside/scan', /a link in/],
      ['p1/etc', /a link in/],
      ['p1/nothing', /does not exist on the machine that runs Docker/],
      ['p1/scan/run1', /is not a directory/],
    ] as const
    for (const [index, [path, message]] of refused.entries()) {
      const spec = specOf(path, `chosen${index}`)
      await t.throwsAsync(spawner.ensure(spec, deadline()), { name: 'LaunchRefused', message }, path)
    }
    const spec = specOf('p1/scan', 'chosen')
    await spawner.ensure(spec, deadline())
    const printed = async () => (await spawner.logs?.(spec.id, deadline())) ?? ''
    await until('it reads what was restored', async () => /restored from tape 4711/.test(await printed()), {
      timeoutMs: 120_000,
    })
  } finally {
    for (const id of (await spawner.observe(deadline())).keys()) await spawner.remove(id, deadline())
    await until('all are gone', async () => (await spawner.observe(deadline())).size === 0, { timeoutMs: 120_000 })
    await spawner.close?.()
  }
}

/** Its account's Kerberos tickets are in a file of the account's alone; another is there after a renewal, none at the end. */
async function ticketed(t: ExecutionContext, site: DockerSite): Promise<void> {
  const ticketFolder = join(site.folder, 'tickets')
  const given = { tickets: () => Promise.resolve(Buffer.from('the first')) }
  const spawner = await site.spawner('ticketed', { ticketFolder }, given)
  const deadline = () => AbortSignal.timeout(120_000)
  const line = 'while :; do stat -c "%a %u" "${KRB5CCNAME#FILE:}"; cat "${KRB5CCNAME#FILE:}"; echo; sleep 0.5; done'
  const application = { kind: 'web', argv: ['/bin/sh', '-c', line], readyPath: '', landingPath: '' } as const
  const spec = { ...site.spec('ticketed', 'ticketed', application), tickets: true as const }
  const printed = async () => (await spawner.logs?.(spec.id, deadline())) ?? ''
  const long = { timeoutMs: 120_000 }
  // No folder: there were none yet.
  const names = () => readdir(join(ticketFolder, String(spec.account.uid))).catch(() => [])
  try {
    await spawner.ensure(spec, deadline())
    await until('it has tickets', async () => /^the first$/m.test(await printed()), long)
    t.regex(await printed(), new RegExp(`^600 ${spec.account.uid}$`, 'm'))
    await spawner.renewTickets?.(spec, Buffer.from('the second'), deadline())
    await until('it has the renewed ones', async () => /^the second$/m.test(await printed()), long)
    t.deepEqual(await names(), ['krb5cc_ticketed'])
  } finally {
    await spawner.remove(spec.id, deadline())
    await until('it is gone', async () => (await spawner.observe(deadline())).size === 0, long)
    await until('and its tickets', async () => (await names()).length === 0, long)
    await spawner.close?.()
  }
  await spawner.renewTickets?.(spec, Buffer.from('the third'), deadline())
  t.deepEqual(await names(), [], 'what has ended gets none')
  const without = await site.spawner('ticketless')
  t.false('renewTickets' in without)
  await without.close?.()
}
