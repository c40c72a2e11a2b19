import test from 'ava'
import { createTicketFiles } from '../../spawners/common/ticketFiles.ts'
import { agentBootstrapSchema } from '../../images/agent/bootstrap.ts'
import { configSchema } from '../../spawners/local/config.ts'
import { launchProblem, machineHealth, type Machine } from '../../spawners/local/machine.ts'
import { openPlan } from '../../spawners/local/open.ts'
import { newId } from '../support/localSubject.ts'
import { contractSpec, spawnerContext } from '../support/spawnerSubject.ts'

const mounts = [
  { source: '/srv/homes/alice', target: '/home/alice', readOnly: false },
  { source: '/srv/p1', target: '/data/p1', readOnly: true },
]

/** An ordinary user's, without bubblewrap. */
const bare: Machine = {
  uid: 12_001,
  gid: 12_001,
  groups: [],
  root: false,
  layout: { folders: [], links: [] },
  bubblewrap: undefined,
  sandboxProblem: 'bubblewrap (bwrap) is not installed',
  cgroups: undefined,
}
const sandbox = { bubblewrap: '/usr/bin/bwrap', sandboxProblem: undefined }
const cgroups = { root: '/sys/fs/cgroup', version: 2 } as const

const machines: readonly (readonly [string, Partial<Machine>, object, RegExp | undefined])[] = [
  ['a user without bubblewrap', {}, {}, /bubblewrap \(bwrap\) is not installed.* install the package bubblewrap/],
  ['a user without bubblewrap, as allowed', {}, { allowUnsandboxed: true }, undefined],
  ['a user with bubblewrap', sandbox, {}, undefined],
  ['root without bubblewrap, whatever is allowed', { root: true, cgroups }, { allowUnsandboxed: true }, /bubblewrap/],
  ['root without control groups', { root: true, ...sandbox }, {}, /control groups .* not there/],
  ['root without control groups, as allowed', { root: true, ...sandbox }, { allowUnlimited: true }, undefined],
  ['root with both', { root: true, ...sandbox, cgroups }, {}, undefined],
]
for (const [title, part, config, problem] of machines) {
  test(`${title}: ${problem ? 'nothing is launched' : 'launches'}, and that is said`, async (t) => {
    const [machine, parsed] = [{ ...bare, ...part }, configSchema.parse(config)]
    const found = launchProblem(machine, parsed)
    const health = await machineHealth(machine, parsed)
    t.is(health.ok, problem === undefined)
    if (problem === undefined) t.is(found, undefined)
    else t.regex(found ?? '', problem)
    if (problem) t.true(health.message.includes(found ?? '-'))
    else t.is(health.message.includes('without a sandbox'), machine.bubblewrap === undefined)
  })
}

function plan() {
  const context = spawnerContext({ hub: 'hub', agent: { argv: ['/usr/bin/node', '/srv/agent.cjs'], folder: '/srv' } })
  const config = configSchema.parse({ allowUnsandboxed: true })
  const spec = contractSpec('hub', newId(), {}, { variables: { HOME: '/root' } })
  return {
    spec,
    ...openPlan(
      { config, context, machine: bare, tickets: createTicketFiles('/state/tickets', newId) },
      spec,
      mounts,
      undefined,
    ),
  }
}

test('without a sandbox HOME is the path on this machine, and variables say where the rest is', (t) => {
  const script = plan().startScript('/state/e1/run', 0)
  t.regex(script, /^export HOME='\/srv\/homes\/alice'$/m)
  t.regex(script, /^export HUTCH_MOUNTS='\{"\/home\/alice":"\/srv\/homes\/alice","\/data\/p1":"\/srv\/p1"\}'$/m)
  t.regex(script, /^export HUTCH_MOUNTS_FOLDER='\/state\/e1\/run\/mounts'$/m)
  t.deepEqual(plan().links, { 'home-alice': '/srv/homes/alice', 'data-p1': '/srv/p1' })
  t.is(plan().sandbox('/state/e1/run', []), undefined)
})

test('without a sandbox the agent is told paths of this machine', (t) => {
  const { spec, line } = plan()
  const built = spawnerContext({ hub: 'hub' }).bootstrap(spec)
  const text = line({
    ...built,
    application: { ...built.application, argv: ['lab', '/data/p1/x.ipynb', '/data/p10'], directory: '/data/p1' },
    directories: [{ name: 'raw', path: '/data/p1', readOnly: true }],
  })
  const told = agentBootstrapSchema.parse(JSON.parse(text))
  t.deepEqual(told.application.argv, ['lab', '/srv/p1/x.ipynb', '/data/p10'])
  t.is(told.application.directory, '/srv/p1')
  t.deepEqual(told.directories, [{ name: 'raw', path: '/srv/p1', readOnly: true }])
})
