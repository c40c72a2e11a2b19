/** What a user may try from inside of a container, as one Python program. */

/** Each try gives what came of it; all of them fail, but for the last, which shows that there is a way at all. */
const tries = `
import ctypes, json, os, socket, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
def reach(host, port):
  try: socket.create_connection((host, port), timeout=2).close(); return 'reached'
  except OSError: return 'refused'
def call(name, *args): return 'done' if getattr(libc, name)(*args) == 0 else 'refused'
def use(path, mode='rb'):
  try: open(path, mode).close(); return 'opened'
  except OSError: return 'refused'
def child(code):
  out = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
  return out.stdout.strip() or out.returncode
many = """
import os, time
pids = []
try:
  while len(pids) < 1000:
    pid = os.fork()
    if pid == 0: time.sleep(60); os._exit(0)
    pids.append(pid)
except OSError: pass
for pid in pids: os.kill(pid, 9)
print('limited' if len(pids) < 256 else 'unlimited')
"""
print(json.dumps({
  'another environment': reach(NEIGHBOUR, 7443), 'its other ports': reach(NEIGHBOUR, 22),
  "the hub's private port": reach(MACHINE, HUB), 'the database of a machine': reach(MACHINE, 5432),
  "Docker's socket": use('/var/run/docker.sock'), "Docker over TCP": reach(GATEWAY, 2375),
  'another proposal': use('/data/43/raw'), "another's home": use(HOMES + '/' + OTHER),
  "the machine's files": use(DATA), "the machine's disk": use('/dev/vda'), 'sysrq': use('/proc/sysrq-trigger', 'w'),
  'control groups': use('/sys/fs/cgroup/memory/memory.limit_in_bytes', 'w'), 'kernel settings': use('/proc/sys/kernel/core_pattern', 'w'),
  'the agent': use('/opt/hutch/agent/agent.cjs', 'ab'), 'the account': use('/etc/passwd', 'ab'),
  'mount': call('mount', b'none', b'/tmp', b'tmpfs', 0, None), 'chroot': call('chroot', b'/tmp'),
  'become root': call('setuid', 0), 'a namespace': call('unshare', 0x10000000), 'a raw socket': call('socket', 17, 3, 0),
  'more memory': child("held = [b'x' * 2**22 for _ in range(1024)]"), 'more processes': child(many),
  'the machine, where it serves everybody': reach(MACHINE, OPEN),
}))`

export interface Around {
  /** Of another environment. */
  readonly neighbour: string
  readonly gateway: string
  /** Docker's machine, which is the hub's. */
  readonly machine: string
  /** A port of the hub's own there, and one that serves everybody. */
  readonly hubPort: number
  readonly openPort: number
  readonly homes: string
  readonly other: string
  readonly data: string
}

/** Prints JSON: what came of each try. */
export function escapeProgram(around: Around): string {
  const { neighbour, gateway, machine, hubPort, openPort, homes, other, data } = around
  const names = {
    NEIGHBOUR: neighbour,
    GATEWAY: gateway,
    MACHINE: machine,
    HUB: hubPort,
    OPEN: openPort,
    HOMES: homes,
    OTHER: other,
    DATA: data,
  }
  const known = Object.entries(names).map(([name, value]) => `${name} = ${JSON.stringify(value)}`)
  return `${known.join('\n')}${tries}`
}
