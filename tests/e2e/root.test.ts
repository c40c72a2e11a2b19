/** The hub as root for other accounts, end to end: real accounts, kernels, control groups, and a neighbour. */
import { spawnSync } from 'node:child_process'
import { readdir, readFile, readlink, stat } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { available, program } from '../support/component.ts'
import { openKernel, type RemoteKernel } from '../support/kernel.ts'
import { asScript, succeeded, type Escape } from '../support/localEscapes.ts'
import {
  listeners,
  people,
  processesAbout,
  processesOf,
  startRootSite,
  unixSockets,
  type Name,
  type RootSite,
} from '../support/rootSite.ts'
import type { Launched, Scientist } from '../support/scientist.ts'
import { until } from '../support/until.ts'

/** Nobody's: a neighbour on the machine, outside of every environment. */
const neighbourUid = 23_999

interface Working {
  readonly scientist: Scientist
  readonly launched: Launched
  readonly kernel: RemoteKernel
}

let starting: Promise<RootSite> | undefined
const working = new Map<Name, Promise<Working>>()

/** One hub for all tests here. Undefined: something is missing, and the test has said so. */
async function rootSite(t: ExecutionContext): Promise<RootSite | undefined> {
  t.timeout(900_000, 'a hub, environments and kernels start')
  if (!available(t, 'root', process.getuid?.() === 0, 'run the tests as root')) return undefined
  if (!available(t, 'bubblewrap', program('bwrap'), 'apt-get install bubblewrap')) return undefined
  starting ??= startRootSite(t)
  return await starting
}

/** Each person's notebook with all of their proposals, launched once. */
async function at(site: RootSite, name: Name): Promise<Working> {
  const begin = async (): Promise<Working> => {
    const scientist = await site.logIn(name)
    const proposals = { ada: ['42'], marie: ['42', '43'], rosalind: ['43'] }[name]
    const launched = await scientist.launch({ profile: 'lab', flavour: 'small', proposals })
    await scientist.enter(launched)
    return { scientist, launched, kernel: await openKernel(scientist, launched) }
  }
  const begun = working.get(name) ?? begin()
  working.set(name, begun)
  return await begun
}

test.after.always(async (t) => {
  t.timeout(120_000)
  for (const each of await Promise.allSettled(working.values())) {
    if (each.status === 'fulfilled') each.value.kernel.dispose()
  }
  const site = await starting
  await site?.close()
})

for (const name of ['ada', 'marie'] as const) {
  test.serial(
    `${name}'s kernel is ${name}: uid, groups, name, home, umask; no capability, and none to gain`,
    async (t) => {
      const site = await rootSite(t)
      if (!site) return
      const { kernel } = await at(site, name)
      const { uid, groups } = people[name]
      const seen = JSON.parse(await kernel.run(whoAmI)) as Record<string, unknown>
      const named = [`${uid}(${name})`, ...Object.entries(groups).map(([group, gid]) => `${gid}(${group})`)]
      t.deepEqual(seen, {
        ids: [uid, uid, uid, uid],
        groups: Object.values(groups),
        id: `uid=${uid}(${name}) gid=${uid}(${name}) groups=${named.join(',')}`,
        whoami: name,
        home: site.home(name),
        umask: '0007',
        capabilities: Array.from({ length: 5 }, () => '0000000000000000'),
        noNewPrivileges: '1',
      })
    },
  )
}

const whoAmI = `
import json, os, re, subprocess
def sh(line): return subprocess.run(line, shell=True, capture_output=True, text=True).stdout.strip()
status = open('/proc/self/status').read()
print(json.dumps({
  'ids': [os.getuid(), os.geteuid(), os.getgid(), os.getegid()],
  'groups': sorted(set(os.getgroups()) - {os.getgid()}),
  'id': sh('id'), 'whoami': sh('whoami'), 'home': os.environ['HOME'], 'umask': sh('umask'),
  'capabilities': re.findall(r'^Cap\\w+:\\s+(\\w+)$', status, re.M),
  'noNewPrivileges': re.search(r'NoNewPrivs:\\s+(\\d)', status)[1],
}))`

test.serial('members read and share a proposal; others can not choose it and do not even see it', async (t) => {
  const site = await rootSite(t)
  if (!site) return
  const [ada, marie, rosalind] = [await at(site, 'ada'), await at(site, 'marie'), await at(site, 'rosalind')]
  t.is(await ada.kernel.run(`print(open('/data/42/raw/run1').read())`), 'measured for 42')
  t.regex(await failure(ada.kernel.run(`open('/data/42/raw/run1', 'a')`)), /Read-only file system/)
  await ada.kernel.run(`print('by ada', file=open('/data/42/processed/result', 'w'), flush=True)`)
  t.is(await marie.kernel.run(`open('/data/42/processed/result', 'a').write('and marie'); print('done')`), 'done')
  const path = join(site.folder, 'data/42/processed/result')
  t.is(await readFile(path, 'utf8'), 'by ada\nand marie')
  const made = await stat(path)
  t.deepEqual([made.uid, made.gid, made.mode & 0o777], [people.ada.uid, people.ada.groups.p42, 0o660])

  const refused = await rosalind.scientist.api<{ type: string; detail: string }>('POST', '/environments', {
    profile: 'lab',
    flavour: 'small',
    proposals: ['42'],
  })
  t.is(refused.status, 403, JSON.stringify(refused.body))
  t.is(await rosalind.kernel.run(`import os; print(sorted(os.listdir('/data')))`), "['43']")
  t.is(await rosalind.kernel.run(`print(os.path.exists('${site.folder}/data'))`), 'False')
})

test.serial(
  'neither sees the home, processes, sockets or control groups of the other, or gets through to them',
  async (t) => {
    const site = await rootSite(t)
    if (!site) return
    const run = join(site.state, 'run')
    const [ada, marie] = [await at(site, 'ada'), await at(site, 'marie')]
    for (const [one, name, other] of [
      [ada, 'ada', 'marie'],
      [marie, 'marie', 'ada'],
    ] as const) {
      const pids = await processesOf(people[other].uid)
      const sockets = await unixSockets(pids)
      t.true(pids.length >= 3 && sockets.length >= 2, 'there is something to look for')
      t.deepEqual(
        sockets.filter((path) => path.startsWith('@')),
        [],
        'an abstract socket has no folder to protect it',
      )
      const spaces = new Map(
        await Promise.all(pids.map(async (pid) => [pid, await readlink(`/proc/${pid}/ns/pid`)] as const)),
      )
      const groups = await site.groups((await at(site, other)).launched.id)
      t.true(groups.length > 0)
      const outside = paths(site.home(other), join(site.home(other), 'diary'), site.state, run, ...groups)
      const rows: readonly Escape[] = [
        ...outside,
        ...sockets.map(connects),
        { title: 'sees the processes of another', line: `ls -dn /proc/[0-9]* | grep -Ev " (0|${people[name].uid}) "` },
        { title: 'sees what another runs', line: `grep -al "[/]${other}/" /proc/[0-9]*/cmdline` },
        ...pids.map((pid) => ({
          title: 'has its pids',
          line: `readlink /proc/self/ns/pid | grep -F "${spaces.get(pid)}"`,
        })),
      ]
      t.deepEqual(succeeded(rows, await inside(one.kernel, asScript(rows))), [], name)
      t.is(succeeded(outside, asUid(0, asScript(outside))).length, outside.length, 'root outside can do all of it')
    }
  },
)

test.serial('on the network the agent answers nothing but the key, and a kernel takes nothing', async (t) => {
  const site = await rootSite(t)
  if (!site) return
  const [ada, marie] = [await at(site, 'ada'), await at(site, 'marie')]
  const listening = await listeners(people.marie.uid)
  const [agent, ...agents] = listening.filter(({ command }) => command.includes('agent.cjs'))
  // ipykernel's pipe for what forks print: it takes messages that carry 16 secret bytes, and sends none.
  const pipes = listening.filter(({ command }) => command.includes('ipykernel_launcher'))
  t.deepEqual([agents.length, pipes.length, listening.length], [0, 1, 2])
  const ports = [agent?.port ?? 0, Number(await readFile(join(site.state, 'run', 'agents-port'), 'utf8'))]
  for (const port of ports) {
    const answers = { plain: 'no HTTP', tls: 'SSLError', psk: 'SSLError' }
    t.deepEqual(JSON.parse(await ada.kernel.run(probe(port))), answers, 'from another environment')
    const script = `/usr/bin/python3 - <<'END'\n${probe(port)}\nEND`
    t.deepEqual(JSON.parse(asUid(neighbourUid, script)), answers, 'from outside')
  }
  for (const { port } of pipes) {
    const forge = `import zmq; s = zmq.Context().socket(zmq.PUSH); s.connect('tcp://127.0.0.1:${port}'); s.send_multipart([b'x' * 16, b'{}', b'forged']); s.close()`
    await ada.kernel.run(forge)
  }
  t.is(await marie.kernel.run(`print('mine')`), 'mine')
})

test.serial('a neighbour on the machine gets nowhere', async (t) => {
  const site = await rootSite(t)
  if (!site) return
  const { launched } = await at(site, 'ada')
  const pids = await processesOf(people.ada.uid)
  const [pid = 0] = pids
  const sockets = (await unixSockets(pids)).filter((path) => path.startsWith('/tmp/'))
  const run = join(site.state, 'run')
  const hubSockets = (await readdir(run)).filter((name) => name.endsWith('.sock')).map((name) => join(run, name))
  t.true(pids.length >= 3 && sockets.length >= 2 && hubSockets.length >= 3)
  const rows: readonly Escape[] = [
    ...paths(site.home('ada'), site.state, run, join(site.state, 'secrets/master.key'), join(site.state, 'logs')),
    ...paths(join(site.state, 'spawners/here', launched.id), `/proc/${pid}/fd`, `/proc/${pid}/root/tmp`),
    { title: 'reads its variables', line: `cat /proc/${pid}/environ | grep -a .` },
    ...hubSockets.map(connects),
    ...sockets.map((path) => connects(`/proc/${pid}/root${path}`)),
    ...pids.flatMap((each) => signals(each)),
    ...(await site.groups(launched.id)).map((folder) => ({
      title: `joins ${folder}`,
      line: `test -w ${folder}/cgroup.procs`,
    })),
  ]
  t.deepEqual(succeeded(rows, asUid(neighbourUid, asScript(rows))), [])
  t.is(succeeded(rows, asUid(0, asScript(rows))).length, rows.length, 'root can do all of it')
})

test.serial('limits hold: memory of what a notebook starts, CPU, and how many processes', async (t) => {
  const site = await rootSite(t)
  if (!site) return
  const { kernel, scientist, launched } = await at(site, 'ada')
  t.is(await kernel.run(`import subprocess, sys\n${eaten}`), '-9', 'more than its memory')
  const forked = Number(await kernel.run(forks))
  t.true(forked > 20 && forked <= 200, `${forked} processes`)
  const [usedSeconds = 0, wallSeconds = 0] = JSON.parse(await kernel.run(burns)) as number[]
  t.true(usedSeconds < 1.3 * wallSeconds + 0.5, `${usedSeconds} s of CPU in ${wallSeconds} s`)
  t.is(await scientist.state(launched.id), 'ready', 'it goes on')
})

const eaten = `print(subprocess.run([sys.executable, '-c', 'x = b"x" * 2**31']).returncode)`

const forks = `
import os, signal, time
children = []
try:
    while len(children) < 1000:
        pid = os.fork()
        if pid == 0:
            time.sleep(60)
            os._exit(0)
        children.append(pid)
except OSError:
    pass
for pid in children: os.kill(pid, signal.SIGKILL)
for pid in children: os.waitpid(pid, 0)
print(len(children))`

const burns = `
import json, resource
burn = 'import time\\nend = time.monotonic() + 5\\nwhile time.monotonic() < end: pass'
began = time.monotonic()
before = resource.getrusage(resource.RUSAGE_CHILDREN)
for child in [subprocess.Popen([sys.executable, '-c', burn]) for _ in range(6)]: child.wait()
after = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, time.monotonic() - began]))`

test.serial('an application that takes more memory than it has ends so, and its page says so', async (t) => {
  const site = await rootSite(t)
  if (!site) return
  const { scientist } = await at(site, 'ada')
  const { id } = await scientist.launch({ profile: 'greedy', flavour: 'tight' })
  await until('it ended', async () => (await scientist.state(id)) === 'ended', { timeoutMs: 120_000, everyMs: 200 })
  const { body } = await scientist.api<{ reason?: string }>('GET', `/environments/${id}`)
  t.is(body.reason, 'outOfMemory')
  const page = await scientist.jar.open(`${site.hutch().url}/hub/environments/${id}`)
  t.is(page.status, 200)
  t.regex(
    page.text,
    /(It needed more memory than it was given|It took more memory than it had)\. .*(Next time choose|is the most that)/,
  )
})

test.serial('environments outlive the kill -9 of a hub that is root, and the next one finds them', async (t) => {
  const site = await rootSite(t)
  if (!site) return
  const { kernel, scientist, launched } = await at(site, 'ada')
  await kernel.run('kept = 42')
  const before = await processesOf(people.ada.uid)
  await site.hutch().kill()
  t.is(await kernel.run('print(kept)'), '42', 'without a hub')
  await site.restart()
  await until('it is ready', async () => (await scientist.state(launched.id)) === 'ready', { timeoutMs: 60_000 })
  t.is(await kernel.run('print(kept + 1)'), '43')
  t.deepEqual(await processesOf(people.ada.uid), before)
})

test.serial('stop leaves no process, no control group and no mount', async (t) => {
  const site = await rootSite(t)
  if (!site) return
  const { kernel, scientist, launched } = await at(site, 'ada')
  const { id } = launched
  t.true((await processesAbout(site, id)).length >= 4 && (await site.groups(id)).length > 0)
  kernel.dispose()
  t.is((await scientist.api('POST', `/environments/${id}/stop`)).status, 202)
  await until('it ended', async () => (await scientist.state(id)) === 'ended', { timeoutMs: 90_000, everyMs: 100 })
  const gone = async (): Promise<boolean> => !(await readdir(join(site.state, 'spawners/here'))).includes(id)
  await until('the spawner has forgotten it', gone, { timeoutMs: 60_000 })
  t.deepEqual(await processesAbout(site, id), [])
  t.deepEqual(await processesOf(people.ada.uid), [])
  t.deepEqual(await site.groups(id), [])
  const mounts = await readFile('/proc/self/mounts', 'utf8')
  for (const path of [site.state, site.folder]) t.false(mounts.includes(path), path)
  const marie = await at(site, 'marie')
  t.is(await marie.kernel.run('print(6 * 7)'), '42', 'the others go on')
})

function paths(...all: readonly string[]): readonly Escape[] {
  return all.map((path) => ({ title: `lists or reads ${path}`, line: `ls -A ${path}/ || head -c 1 ${path}` }))
}

function signals(pid: number): readonly Escape[] {
  return [
    { title: `signals process ${pid}`, line: `kill -0 ${pid}` },
    { title: `sees into process ${pid}`, line: `test -r /proc/${pid}/mem` },
  ]
}

function connects(path: string): Escape {
  const code = `import socket; socket.socket(socket.AF_UNIX).connect("${path}")`
  return { title: `connects to ${path}`, line: `/usr/bin/python3 -c '${code}'` }
}

/** What an agent's port gives to plain HTTP, to TLS that trusts anybody, and to a key of one's own making. */
function probe(port: number): string {
  return `
import json, socket, ssl
def connect():
    opened = socket.create_connection(('127.0.0.1', ${port}), 10)
    opened.settimeout(10)
    return opened
def plain():
    opened = connect()
    opened.sendall(b'GET / HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n')
    try:
        answer = opened.recv(64)
    except ConnectionError:
        answer = b''
    return 'HTTP' if answer.startswith(b'HTTP') else 'no HTTP'
def shaken(context):
    try:
        with context.wrap_socket(connect()) as secure: return secure.cipher()[0]
    except (ssl.SSLError, ConnectionError):
        return 'SSLError'
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
guessing = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
guessing.check_hostname, guessing.verify_mode = False, ssl.CERT_NONE
if hasattr(guessing, 'set_psk_client_callback'): guessing.set_psk_client_callback(lambda hint: ('e', b'guess'))
print(json.dumps({'plain': plain(), 'tls': shaken(context), 'psk': shaken(guessing)}))`
}

async function inside(kernel: RemoteKernel, script: string): Promise<string> {
  return await kernel.run(
    `import subprocess; print(subprocess.run(['/bin/sh'], input=${JSON.stringify(script)}, capture_output=True, text=True).stdout)`,
  )
}

function asUid(uid: number, script: string): string {
  const become = ['--reuid', String(uid), '--regid', String(uid), '--clear-groups', '--', '/bin/sh']
  const done = spawnSync('setpriv', become, { input: script, encoding: 'utf8', timeout: 120_000, cwd: '/' })
  if (done.error !== undefined) throw done.error
  return done.stdout
}

async function failure(running: Promise<unknown>): Promise<string> {
  return await running.then(
    () => 'it did not fail',
    (error: unknown) => String(error),
  )
}
