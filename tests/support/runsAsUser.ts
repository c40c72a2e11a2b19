/** A kernel in a container or pod of ada with the data of proposal 42: who it is, and what it may not do. */
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import type { RemoteKernel } from './kernel.ts'

export interface AsUser {
  readonly uid: number
  /** Of the proposal's group. */
  readonly gid: number
  /** Where the proposals' data lie on this machine. */
  readonly data: string
  /** What else: a Python expression (`sh(line)` runs a command), and what it gives. */
  readonly more: Readonly<Record<string, readonly [expression: string, expected: string | boolean]>>
}

const whoAmI = `
import json, os, re, subprocess
def sh(line): return subprocess.run(line, shell=True, capture_output=True, text=True).stdout.strip()
status = open('/proc/self/status').read()
def fails(line):
  try: open(line, 'a'); return False
  except OSError: return True
found = {
  'ids': [os.getuid(), os.geteuid(), os.getgid(), os.getegid()],
  'groups': sorted(set(os.getgroups()) - {os.getgid()}),
  'id': sh('id'), 'whoami': sh('whoami'), 'umask': sh('umask'),
  'capabilities': sorted(set(re.findall(r'^Cap\\w+:\\s+(\\w+)$', status, re.M))),
  'noNewPrivileges': re.search(r'NoNewPrivs:\\s+(\\d)', status)[1], 'seccomp': re.search(r'Seccomp:\\s+(\\d)', status)[1],
  'root': fails('/usr/x'), 'raw': open('/data/42/raw/run1').read(), 'rawClosed': fails('/data/42/raw/run1'),
}
`

export async function runsAsUser(
  t: ExecutionContext,
  kernel: RemoteKernel,
  { uid, gid, data, more }: AsUser,
): Promise<void> {
  const asked = Object.entries(more).map(([name, [expression]]) => `found['${name}'] = ${expression}`)
  t.deepEqual(JSON.parse(await kernel.run(`${whoAmI}${asked.join('\n')}\nprint(json.dumps(found))`)), {
    ids: [uid, uid, uid, uid],
    groups: [gid],
    id: `uid=${uid}(ada) gid=${uid}(ada) groups=${uid}(ada),${gid}(p42)`,
    whoami: 'ada',
    umask: '0007',
    capabilities: ['0000000000000000'],
    noNewPrivileges: '1',
    seccomp: '2',
    root: true,
    raw: 'measured for 42\n',
    rawClosed: true,
    ...Object.fromEntries(Object.entries(more).map(([name, [, expected]]) => [name, expected])),
  })
  await kernel.run(`print('by ada', file=open('/data/42/processed/result', 'w'), flush=True)`)
  const path = join(data, '42/processed/result')
  t.is(await readFile(path, 'utf8'), 'by ada\n')
  t.is((await stat(path)).mode & 0o777, 0o660)
}
