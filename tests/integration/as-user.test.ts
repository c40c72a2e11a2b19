/** The wrapper that a sudoers rule lets the hub's account run: whom it becomes, and whom and what it refuses. */
import { chmod, chown, mkdtemp, mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { createPeople, people } from '../clusters/slurm/people.ts'
import { available, program } from '../support/component.ts'
import { asHub } from '../support/slurmCommands.ts'

const programs = ['id', 'env', 'cat'].map((name) => `program /usr/bin/${name}`)

test('the wrapper becomes ordinary users for a few programs, by sudo, and refuses all else', async (t) => {
  const isHere = process.getuid?.() === 0 && program('sudo') !== undefined
  if (!available(t, 'sudo, as root', isHere, 'see tests/setup/packages.ts')) return
  await mkdir('/srv', { recursive: true })
  const folder = await mkdtemp('/srv/hsudo-')
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  await chmod(folder, 0o755)
  await mkdir(join(folder, 'etc'))
  const view = await createPeople(folder)
  const site = { folder, stateFolder: folder, within: view.within }
  const { run, launcher } = await asHub(site, [...programs, 'never marie', 'variable SLURM_CONF=/etc/a b'])
  const [sudo = '', ...begin] = launcher.argv.slice(0, -2)
  const call = async (...words: readonly string[]): Promise<{ code: number; said: string; output: string }> => {
    const signal = AbortSignal.timeout(60_000)
    const variables = { PATH: '/usr/bin:/bin', LD_PRELOAD: '/tmp/evil.so', SECRET: 'x' }
    const { code, said, output } = await run([sudo, ...begin, ...words], { variables, signal, input: 'in\n' })
    return { code, said, output: output.toString() }
  }
  const ada = ['ada', String(people.ada.uid)]

  const id = await call(...ada, '/usr/bin/id')
  t.is(id.code, 0, id.said)
  for (const each of [`uid=${people.ada.uid}(ada)`, `gid=${people.ada.uid}`, 'p42', 'beamline']) {
    t.true(id.output.includes(each), `${each} in ${id.output}`)
  }
  t.deepEqual((await call(...ada, '/usr/bin/env')).output.trim().split('\n').toSorted(), [
    `HOME=${view.home('ada')}`,
    'LC_ALL=C',
    'LOGNAME=ada',
    'PATH=/usr/bin:/bin',
    'SLURM_CONF=/etc/a b',
    'TZ=UTC',
    'USER=ada',
  ])
  t.is((await call(...ada, '/usr/bin/cat', '-')).output, 'in\n')

  const rows: [readonly string[], RegExp][] = [
    [['root', '0', '/usr/bin/id'], /uid 0 belongs to the system/],
    [['daemon', '1', '/usr/bin/id'], /uid 1 belongs/],
    [['nobody', '65534', '/usr/bin/id'], /nobody/],
    [['marie', String(people.marie.uid), '/usr/bin/id'], /marie runs the batch system/],
    [['ada', '23102', '/usr/bin/id'], /has the uid 23101 here, not 23102/],
    [['ada', '0', '/usr/bin/id'], /not 0/],
    [['ada', '', '/usr/bin/id'], /not a uid/],
    [['23101', '23101', '/usr/bin/id'], /called ada here/],
    [['nemo', '23999', '/usr/bin/id'], /no account nemo/],
    [['ada;id', '23101', '/usr/bin/id'], /not a name/],
    [['-u', '23101', '/usr/bin/id'], /not a name/],
    [[...ada, '/bin/sh'], /not among the programs/],
    [[...ada, '/usr/bin/id /usr/bin/env'], /not a program/],
    [[...ada, '/usr/bin/../bin/id'], /not among/],
    [[...ada, 'id'], /whole path/],
    [ada, /USER UID PROGRAM/],
  ]
  for (const [words, why] of rows) {
    const { code, said, output } = await call(...words)
    t.is(code, 77, words.join(' '))
    t.regex(said, why)
    t.is(output, '')
  }
  const other = await run([sudo, '-n', '--', '/usr/bin/id'], { variables: {}, signal: AbortSignal.timeout(60_000) })
  t.not(other.code, 0, 'sudo lets it run nothing else')

  const conf = join(folder, 'sudo/hutch/as-user.conf')
  await chmod(conf, 0o666)
  t.regex((await call(...ada, '/usr/bin/id')).said, /written by others/)
  await chmod(conf, 0o644)
  await chown(conf, people.ada.uid, 0)
  t.regex((await call(...ada, '/usr/bin/id')).said, /not root's/)
})
