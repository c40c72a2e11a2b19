/** The main job as jobs of a real SLURM cluster, before a hub that is not root and has no key of SLURM's. */
import { existsSync } from 'node:fs'
import { readdir, readFile, readlink, stat } from 'node:fs/promises'
import { request } from 'node:https'
import { dirname } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { slurmMissing, people } from '../clusters/slurm/cluster.ts'
import { pskClient } from '../../images/agent/link.ts'
import { browser } from '../support/browser.ts'
import { available } from '../support/component.ts'
import { download, hasDesktop, openTerminal, runs, untilConnected, untilXfce } from '../support/desktopPage.ts'
import { jupyterHubBin } from '../support/jupyterhub.ts'
import { openKernel } from '../support/kernel.ts'
import { personAt } from '../support/person.ts'
import { processesOf } from '../support/processes.ts'
import { startSlurmHub, type SlurmHub } from '../support/slurmHub.ts'
import { until } from '../support/until.ts'

let starting: Promise<SlurmHub> | undefined
/** Of a machine on which much else runs. */
const patience = { timeoutMs: 240_000, everyMs: 100 }

/** One cluster and one hub for all tests here. Undefined: something is missing, and the test has said so. */
async function slurmHub(t: ExecutionContext): Promise<SlurmHub | undefined> {
  t.timeout(1_200_000, 'a cluster, a hub, environments and kernels start')
  const missing = slurmMissing()
  if (!available(t, 'SLURM', missing === undefined, `${missing ?? ''}; see tests/setup/packages.ts`)) return undefined
  starting ??= jupyterHubBin(t).then(async () => await startSlurmHub(t))
  return await starting
}

test.after.always(async (t) => {
  t.timeout(180_000)
  if (process.env['SHOW'] !== undefined) t.log((await starting)?.hutch.output() ?? '')
  await (await starting?.catch(() => undefined))?.close()
})

test.serial('a scientist launches JupyterLab as a job, runs a cell through the proxy, and stops', async (t) => {
  const hub = await slurmHub(t)
  if (!hub) return
  const { cluster } = hub.site
  const ada = await hub.logIn('ada')
  const launched = await ada.launch({ profile: 'lab', flavour: 'gpu' })
  await ada.enter(launched)
  const kernel = await openKernel(ada, launched)
  const seen = JSON.parse(await kernel.run(whoAmI)) as Record<string, unknown>
  const { uid, groups } = people.ada
  t.like(seen, { uid, home: cluster.view.home('ada'), whoami: 'ada', cwd: cluster.view.home('ada') })
  t.deepEqual(seen['groups'], Object.values(groups))
  t.regex(String(seen['gpu']), /^[01]$/)
  t.deepEqual(seen['secrets'], [], 'nothing of the claim or the key in argv or variables')

  const [line = ''] = (await cluster.run(['squeue', '-h', '-o', '%A %u %T %b %j'])).trim().split('\n')
  t.regex(line, new RegExp(`^\\d+ ada RUNNING gres:gpu:1 hutch-sl-${launched.id}-`))
  kernel.dispose()
  t.is((await ada.api('POST', `/environments/${launched.id}/stop`)).status, 202)
  await until('it ended', async () => (await ada.state(launched.id)) === 'ended', patience)
  await until('the job is gone', async () => (await cluster.run(['squeue', '-h'])).trim() === '', patience)
  const said = await cluster.run(['sacct', '-X', '-n', '-P', '-u', 'ada', '-o', 'State', '-S', 'now-1hour'])
  t.regex(said, /CANCELLED|COMPLETED/)
})

test.serial('what a profile leaves open is chosen; the queue and the end are told in words', async (t) => {
  const hub = await slurmHub(t)
  if (!hub) return
  const { cluster } = hub.site
  const ada = await hub.logIn('ada')
  const page = await ada.jar.open(`${hub.hutch.url}/hub/launch`)
  for (const name of ['partition', 'account', 'qos', 'gpus', 'time']) {
    t.true(page.text.includes(`name="option:chooser:${name}"`), name)
  }
  // What its accounting lets her have, and what is left of it.
  for (const row of [
    /GPUs<\/th><td>you in the account beamtime<\/td><td>1<\/td><td>1</,
    /quality of service two<\/td><td>8</,
  ]) {
    t.regex(page.text, row)
  }
  const choices = { profile: 'chooser', flavour: 'tight', proposals: [], options: { partition: 'secret' } }
  const refused = await ada.api<{ detail: string }>('POST', '/environments', choices)
  t.is(refused.status, 400)
  t.regex(refused.body.detail, /Partition: choose one of main, short/)

  await cluster.run(['scontrol', 'update', 'partitionname=short', 'state=down'])
  const options = { partition: 'short', account: 'beamtime', qos: 'normal', gpus: '1', time: '3600000' }
  const launched = await ada.launch({ profile: 'chooser', flavour: 'tight', options })
  const waiting = async (): Promise<string> =>
    (await ada.jar.open(`${hub.hutch.url}/hub/environments/${launched.id}`)).text
  const isTold = async (): Promise<boolean> => /partition does not run jobs now/.test(await waiting())
  await until('it is told why it waits', isTold, patience)
  const text = await waiting()
  t.regex(text, /sbatch --job-name=hutch-sl-\w+-\w+ --partition=short --account=beamtime --qos=normal/)
  t.regex(text, /--gres=gpu:1 --time=60/)
  const asked = await cluster.run(['squeue', '-h', '-u', 'ada', '-o', '%P %a %q %b %l'])
  t.is(asked.trim(), 'short beamtime normal gres:gpu:1 1:00:00')

  await cluster.run(['scontrol', 'update', 'partitionname=short', 'state=up'])
  await until('it is ready', async () => (await ada.state(launched.id)) === 'ready', patience)
  const { body } = await ada.api<{ endsAt: string }>('GET', `/environments/${launched.id}`)
  const leftMs = new Date(body.endsAt).getTime() - Date.now()
  t.true(leftMs > 55 * 60_000 && leftMs <= 60 * 60_000, `it ends in ${leftMs} ms`)
  await ada.api('POST', `/environments/${launched.id}/stop`)
  await until('it ended', async () => (await ada.state(launched.id)) === 'ended', patience)
})

test.serial('servers made for JupyterHub run as they are, in jobs whose scripts do not hold their token', async (t) => {
  const hub = await slurmHub(t)
  if (!hub) return
  // Where it can't be had, the test has said so.
  if ((await jupyterHubBin(t)) === undefined) return
  const { cluster } = hub.site
  const ada = await hub.logIn('ada')
  // The second, batchspawner's own program, finds a port and tells the hub.
  const both = [
    await ada.launch({ profile: 'hub6', flavour: 'small' }),
    await ada.launch({ profile: 'hub6batch', flavour: 'small' }),
  ]
  for (const launched of both) {
    const page = await ada.enter(launched)
    t.is(page.status, 200, page.trail.join('\n'))
    t.true(page.trail.some((url) => new URL(url).pathname === '/hub/api/oauth2/authorize'))
    t.regex(page.headers.get('x-jupyterhub-version') ?? '', /^6/)
    const kernel = await openKernel(ada, launched)
    const token = await kernel.run("import os; print(os.environ['JUPYTERHUB_API_TOKEN'], os.getuid())")
    kernel.dispose()
    const [secret = '', uid] = token.trim().split(' ')
    t.is(uid, String(people.ada.uid))
    t.true(secret.length > 20)
    const [job = ''] = (await cluster.run(['squeue', '-h', '-o', '%A %j']))
      .split('\n')
      .filter((line) => line.includes(launched.id))
      .map((line) => line.split(' ')[0] ?? '')
    t.false((await cluster.run(['scontrol', 'write', 'batch_script', job, '-'])).includes(secret))
    t.false((await cluster.run(['scontrol', 'show', 'job', '-dd', job])).includes(secret))
  }
  for (const { id } of both) {
    await ada.api('POST', `/environments/${id}/stop`)
    await until('it ended', async () => (await ada.state(id)) === 'ended', patience)
  }
})

test.serial(
  'a desktop is drawn in a job of the person, takes what is typed, is nobody else’s, and ends with it',
  async (t) => {
    const opened = hasDesktop(t) ? await browser(t) : undefined
    const hub = opened && (await slurmHub(t))
    if (!hub || !opened) return
    const { cluster } = hub.site
    // Of XFCE's session manager, in the /tmp that all jobs share here.
    const find = ['find', '/tmp', '-maxdepth', '1', '-name', '.xfsm-ICE-*', '-user', 'ada']
    const lists = async (): Promise<string[]> => (await cluster.run(find)).split('\n')
    const listed = await lists()
    const ada = await personAt(opened, hub.hutch, 'ada')
    const id = await ada.launch('desktop', 'Desk')
    const page = await ada.open(id)
    await untilConnected(page)
    await untilXfce(page)
    await openTerminal(page)
    await runs(page, 'echo $SLURM_JOB_ID $(id -un) $DISPLAY > job.txt')
    // XFCE writes :7 as :7.0.
    const [, job = '', name, display = ''] = /^(\d+) (\S+) :(\d+)/.exec(await download(page, 'job.txt')) ?? []
    const [queued = ''] = (await cluster.run(['squeue', '-h', '-o', '%A %u %j'])).trim().split('\n')
    t.true(queued.startsWith(`${job} ada hutch-sl-${id}-`), queued)
    t.is(name, 'ada')

    const running = await processesOf(id)
    const uids = await Promise.all(running.map(async ({ pid }) => (await stat(`/proc/${pid}`)).uid))
    t.deepEqual([...new Set(uids)], [people.ada.uid], 'all of it runs as her')
    const xvnc = running.find(({ command }) => command.startsWith('Xvnc\0'))
    const argv = xvnc?.command.split('\0') ?? []
    const [socket = '', cookies = ''] = ['-rfbunixpath', '-auth'].map((option) => argv[argv.indexOf(option) + 1])
    const modes = await cluster.run(['stat', '-c', '%a %U', dirname(socket), socket, cookies])
    t.is(modes.trim(), '700 ada\n600 ada\n600 ada')
    const seen = await cluster.run(['python3', '-c', intrude, socket, cookies, display], 'marie')
    t.deepEqual(JSON.parse(seen), { socket: 'PermissionError', cookies: 'PermissionError', display: 'refused' })
    t.deepEqual(await openTo(xvnc?.pid ?? 0), [], 'it listens on no port and no abstract socket')

    // Not by the hub: the job is what holds it.
    await cluster.run(['scancel', job], 'ada')
    await until('nothing of it runs', async () => (await processesOf(id)).length === 0, patience)
    const left = [dirname(socket), `/tmp/.X11-unix/X${display}`].filter(existsSync)
    t.deepEqual([...left, ...(await lists()).filter((name) => !listed.includes(name))], [], 'nothing of it is left')
    // And nobody need tell the hub: its agent said goodbye.
    const cancelled = await until(
      'it ended',
      async () => {
        const body = (await ada.api('GET', `/environments/${id}`)).body as EnvironmentBody
        return body.state === 'ended' && body
      },
      patience,
    )
    t.is(cancelled.reason, 'cancelled')
    t.regex(cancelled.message ?? '', /cancelled in SLURM/)
  },
)

test.serial(
  'a stolen claim gets nothing: from another host, a second time, after a requeue; each is an alarm',
  async (t) => {
    const hub = await slurmHub(t)
    if (!hub) return
    const { cluster } = hub.site
    const ada = await hub.logIn('ada')
    const launched = await ada.launch({ profile: 'terminal', flavour: 'tight' })
    await until('it is ready', async () => (await ada.state(launched.id)) === 'ready', patience)
    const job = (await cluster.run(['squeue', '-h', '-u', 'ada', '-o', '%A'])).trim()
    const script = await cluster.run(['scontrol', 'write', 'batch_script', job, '-'])
    const claim = JSON.parse(script.split('\n').find((line) => line.startsWith('{"version"')) ?? '{}') as StolenClaim
    t.is(claim.id, launched.id)

    t.deepEqual(await ask(claim, '127.0.0.2'), { status: 403, given: false }, 'from a host that is not the job’s')
    t.deepEqual(await ask(claim, '127.0.0.1'), { status: 409, given: false }, 'a second time')
    const report = { ...claim, path: '/agent/report' }
    t.deepEqual(await ask(report, '127.0.0.1'), { status: 404, given: false }, 'it reports nothing')
    t.regex(hub.hutch.output(), /"alarm":"claim".*a claim was refused/)
    t.is(await ada.state(launched.id), 'ready', 'who had it first goes on')

    await cluster.run(['scontrol', 'update', `jobid=${job}`, 'requeue=1'])
    await cluster.run(['scontrol', 'requeue', job])
    await until('it waits again', async () => (await ada.state(launched.id)) === 'starting', patience)
    const begins = (): Promise<boolean> =>
      cluster.run(['scontrol', 'update', `jobid=${job}`, 'starttime=now+2']).then(
        () => true,
        () => false,
      )
    await until('it may begin', begins, patience)
    await until('it is ready again', async () => (await ada.state(launched.id)) === 'ready', patience)
    t.deepEqual(await ask(claim, '127.0.0.1'), { status: 409, given: false }, 'the new start has its key too')
    await ada.api('POST', `/environments/${launched.id}/stop`)
    await until('it ended', async () => (await ada.state(launched.id)) === 'ended', patience)
    t.is(await ask(claim, '127.0.0.1'), 'no connection', 'and of what has ended nobody hears')
  },
)

/** Where a process listens or speaks that is not a file: TCP, UDP, and unix sockets of an abstract name. */
async function openTo(pid: number): Promise<readonly string[]> {
  const links = (await readdir(`/proc/${pid}/fd`)).map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => ''))
  const own = new Set((await Promise.all(links)).flatMap((link) => /^socket:\[(\d+)\]$/.exec(link)?.slice(1) ?? []))
  const lines = async (table: string): Promise<string[]> =>
    (await readFile(`/proc/${pid}/net/${table}`, 'utf8').catch(() => '')).split('\n')
  const networks = (await Promise.all(['tcp', 'tcp6', 'udp', 'udp6'].map(lines))).flat()
  const abstract = (await lines('unix')).filter((line) => line.includes(' @'))
  return [...networks, ...abstract].filter((line) =>
    line
      .trim()
      .split(/\s+/)
      .some((field) => own.has(field)),
  )
}

/** As somebody else on the node: the pictures' socket, the cookie, and the display without one (X11's first bytes). */
const intrude = `
import json, socket, struct, sys
def refused(what):
    try: return what()
    except OSError as error: return type(error).__name__
def reach(path):
    end = socket.socket(socket.AF_UNIX)
    end.settimeout(10)
    end.connect(path)
    return end
def greet():
    end = reach('/tmp/.X11-unix/X' + sys.argv[3])
    end.sendall(struct.pack('<BxHHHHxx', ord('l'), 11, 0, 0, 0))
    return 'let in' if end.recv(1) == b'\\1' else 'refused'
print(json.dumps({
  'socket': refused(lambda: reach(sys.argv[1]) and 'let in'),
  'cookies': refused(lambda: open(sys.argv[2], 'rb') and 'read'),
  'display': refused(greet),
}))`

interface EnvironmentBody {
  readonly state: string
  readonly reason?: string
  readonly message?: string
}

interface StolenClaim {
  readonly id: string
  readonly key: string
  readonly report: Readonly<{ host: string; port: number }>
  readonly path?: string
}

async function ask(
  { id, key, report, path = '/agent/claim' }: StolenClaim,
  localAddress: string,
): Promise<{ status: number; given: boolean } | 'no connection'> {
  const { host, port } = report
  const psk = pskClient(`claim.${id}`, Buffer.from(key, 'base64url'))
  return await new Promise((resolve) => {
    const call = request({ ...psk, host, port, localAddress, method: 'POST', path, agent: false }, (answer) => {
      let text = ''
      answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, given: text.includes('"key"') }))
    })
    call.on('error', () => resolve('no connection'))
    call.end()
  })
}

const whoAmI = `
import json, os, subprocess
def sh(line): return subprocess.run(line, shell=True, capture_output=True, text=True).stdout.strip()
everything = [open(f'/proc/{pid}/{name}', 'rb').read() for pid in os.listdir('/proc') if pid.isdigit()
  and os.stat(f'/proc/{pid}').st_uid == os.getuid() for name in ('cmdline', 'environ')]
print(json.dumps({
  'uid': os.getuid(), 'groups': sorted(set(os.getgroups()) - {os.getgid()}), 'whoami': sh('id -un') or os.environ['USER'],
  'home': os.environ['HOME'], 'cwd': os.getcwd(), 'gpu': os.environ.get('CUDA_VISIBLE_DEVICES'),
  'secrets': [str(each)[:200] for each in everything if b'"key"' in each],
}))`
