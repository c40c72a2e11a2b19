/**
 * From clone to login page on a machine with Node 20 and python3 and nothing else: no compiler, no pip, no
 * python3-venv, no root. Then a second start, which must find everything as it was, and a third without Python.
 */
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { ChildProcess } from 'node:child_process'
import test, { type ExecutionContext } from 'ava'
import { freshMachine, type FreshMachine } from '../support/fresh-machine.ts'
import { freePort } from '../support/hutch.ts'
import { logInAs } from '../support/scientist.ts'
import { until } from '../support/until.ts'

const project = new URL('../..', import.meta.url).pathname

test('npm install && npm start, and again', async (t) => {
  t.timeout(540_000)
  const machine = freshMachine(t)
  if (machine === undefined) return
  clone(machine)
  t.log(`Node ${machine.node} and python3, nothing else`)
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`

  const first = follow(machine.start(`cd hutch && npm install && npm start -- --listen 127.0.0.1:${port}`))
  const firstMs = await first.url(480_000)
  const page = await fetch(`${url}/hub/login`)
  t.is(page.status, 200)
  t.regex(first.output(), /JupyterLab is set up once/)
  t.regex(first.output(), /Log in as one of\n\s+ada\s+\S+\n/)
  t.notRegex(first.output(), /\n\s+at .*:\d+:\d+/)
  const passwords = passwordsIn(first.output())
  t.is(passwords.length, 3)
  await openEnvironment(t, url, passwords[0] ?? '', 'jupyterlab')
  await first.interrupt()
  t.regex(first.output(), /stopping …/)
  await noProcessesOf(machine)

  const state = join(machine.root, machine.home, 'hutch/.hutch')
  t.is(statSync(state).mode & 0o777, 0o700)
  t.true(existsSync(join(state, 'jupyter/bin/jupyter')))
  t.deepEqual(
    readdirSync(join(state, 'run')).filter((name) => name.endsWith('.sock')),
    [],
  )

  const second = follow(machine.start(`cd hutch && npm start -- --listen 127.0.0.1:${port}`))
  const secondMs = await second.url(120_000)
  t.is((await fetch(`${url}/hub/login`)).status, 200)
  t.deepEqual(passwordsIn(second.output()), passwords)
  await second.interrupt()
  t.regex(second.output(), /stopping …/)
  await noProcessesOf(machine)

  removePython(machine, state)
  const third = follow(machine.start(`cd hutch && npm start -- --listen 127.0.0.1:${port}`))
  await third.url(120_000)
  t.is((await fetch(`${url}/hub/login`)).status, 200)
  await openEnvironment(t, url, passwords[0] ?? '', 'terminal')
  await t.throwsAsync(openEnvironment(t, url, passwords[0] ?? '', 'jupyterlab'), {
    message: /JupyterLab is missing: this machine has no Python 3; install python3/,
  })
  await third.interrupt()
  t.regex(third.output(), /stopping …/)
  await noProcessesOf(machine)
  t.log(
    `npm install and first start ${(firstMs / 1_000).toFixed(1)} s, second start ${(secondMs / 1_000).toFixed(2)} s`,
  )
})

/** What is committed, as a visitor would get it. */
function clone({ root, home }: FreshMachine): void {
  const target = join(root, home, 'hutch')
  for (const argv of [
    [
      'git',
      '-c',
      'safe.directory=*',
      'clone',
      '--quiet',
      '--no-hardlinks',
      '--depth',
      '1',
      `file://${project}`,
      target,
    ],
    ['chown', '-R', `--reference=${join(root, home)}`, target],
  ]) {
    const [command = '', ...args] = argv
    const done = spawnSync(command, args, { encoding: 'utf8', timeout: 120_000 })
    if (done.status !== 0) throw new Error(`${command} failed: ${done.stderr}`)
  }
}

/** Left running: Ctrl-C has to end it too. */
async function openEnvironment(t: ExecutionContext, url: string, password: string, profile: string): Promise<void> {
  const scientist = await logInAs(url, 'ada', password)
  const launched = await scientist.launch({ profile, flavour: 'small', proposals: ['20150042'] })
  t.is((await scientist.enter(launched)).status, 200)
}

/** Also what was set up with it. */
function removePython({ root }: FreshMachine, state: string): void {
  rmSync(join(state, 'jupyter'), { recursive: true })
  for (const name of readdirSync(join(root, 'usr/bin'))) {
    if (name.startsWith('python3')) rmSync(join(root, 'usr/bin', name))
  }
}

function follow(child: ChildProcess) {
  const startedAt = performance.now()
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (data: Buffer) => (output += data.toString()))
  const ended = once(child, 'close')
  return {
    output: () => output,
    /** ms until it said where it is. */
    async url(timeoutMs: number): Promise<number> {
      await until(
        'hutch says where it is',
        () => {
          if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}:\n${output.slice(-4_000)}`)
          return /Hutch is at http/.test(output)
        },
        { timeoutMs },
      ).catch((error: unknown) => {
        if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL')
        throw new Error(`${String(error)}\n${output.slice(-4_000)}`)
      })
      return performance.now() - startedAt
    },
    /** As a terminal does on Ctrl-C: to the whole group, of which the shell and npm end by the signal themselves. */
    async interrupt(): Promise<void> {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGINT')
      await ended
    },
  }
}

function passwordsIn(output: string): string[] {
  return [...output.matchAll(/^\s+(?:ada|marie|rosalind)\s+(\S+)$/gm)].map(([, password = '']) => password)
}

async function noProcessesOf(machine: FreshMachine): Promise<void> {
  await until('nothing of it is left', () => machine.processes().length === 0, { timeoutMs: 30_000 }).catch(() => {
    throw new Error(`still there:\n${machine.processes().join('\n')}`)
  })
}
