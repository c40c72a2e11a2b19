/**
 * What a hostile notebook would try, as shell lines run inside: each must fail. Two environments run; `neighbour`
 * is the other one, which belongs to somebody else.
 */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { LocalProfile } from '../../spawners/local/config.ts'
import type { EnvironmentSpec, Spawner } from '../../spawners/spawner.ts'
import type { LocalSite } from './localSubject.ts'
import { until } from './until.ts'

export interface Escape {
  readonly title: string
  readonly line: string
}

export interface Neighbour {
  readonly stateFolder: string
  readonly home: string
  readonly proposal: string
  /** Processes outside: the hub, and the neighbour's keeper and what it keeps. */
  readonly pids: readonly number[]
  /** What the neighbour's bootstrap holds. */
  readonly key: string
}

export function escapes({ stateFolder, home, proposal, pids, key }: Neighbour): readonly Escape[] {
  const state = join(stateFolder, '..', '..')
  return [
    { title: "lists the hub's state", line: `ls ${state}` },
    { title: "lists the spawner's folder", line: `ls ${stateFolder}` },
    { title: 'reads a secret of the hub', line: `cat ${state}/secret` },
    { title: "finds the hub's secret below its own agent", line: 'find /run/hutch -name secret | grep .' },
    { title: "lists another's home by its path on the host", line: `ls ${home}` },
    { title: "lists another's home by its path inside", line: 'ls /home/bob' },
    { title: 'lists a proposal that was not chosen, on the host', line: `ls ${proposal}` },
    { title: 'lists a proposal that was not chosen, inside', line: 'ls /data/p2' },
    { title: 'writes into a read-only proposal', line: 'touch /data/p1/x' },
    { title: 'makes a read-only proposal writable', line: 'mount -o remount,rw /data/p1' },
    { title: 'sees what others have in /tmp', line: 'ls -A /tmp | grep -v "^hutch-" | grep .' },
    { title: "sees others' shared memory", line: 'ls -A /dev/shm | grep .' },
    {
      title: 'finds the neighbour among the processes',
      line: 'cat /proc/[0-9]*/cmdline | tr "\\0" " " | grep "keeper[.]sh"',
    },
    { title: 'sees more than its own few processes', line: 'test "$(ls /proc | grep -c "^[0-9]")" -gt 20' },
    ...pids.map((pid) => ({ title: `signals process ${pid} outside`, line: `kill -9 ${pid}` })),
    {
      title: 'finds a key in what its processes show',
      line: `cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr "\\0" "\\n" | grep -- "[${key[0]}]${key.slice(1, 20)}"`,
    },
    { title: 'writes into /usr', line: 'touch /usr/x' },
    { title: 'writes into /etc', line: 'touch /etc/x' },
    { title: 'writes into /', line: 'touch /x' },
    { title: 'changes the agent', line: 'echo x >>/run/hutch/agent/fakeAgent.ts' },
    { title: 'changes how it starts', line: 'echo x >>/run/hutch/start.sh' },
    { title: 'changes its own passwd entry', line: 'echo x >>/etc/passwd' },
    { title: 'reads the passwords', line: 'cat /etc/shadow' },
    { title: 'becomes root', line: 'setpriv --reuid 0 id' },
    { title: 'becomes root by sudo', line: 'sudo -n id' },
    { title: 'becomes another account', line: 'setpriv --reuid 12002 --regid 12002 --clear-groups id' },
    { title: 'joins a group', line: 'setpriv --groups 30002 id' },
    { title: 'gives a file away', line: 'touch $HOME/y && chown 12002 $HOME/y' },
    { title: 'makes a device', line: 'mknod $HOME/disk b 8 0' },
    { title: 'finds a disk', line: 'ls /dev | grep -E "^(sd|vd|nvme|dm-|mem|kmsg)"' },
    {
      title: 'raises its limits',
      line: 'find /sys/fs/cgroup -name memory.limit_in_bytes -exec sh -c "echo -1 >{}" \\; -a -writable | grep . || test -w /sys/fs/cgroup',
    },
    { title: 'has a capability', line: 'grep -E "^Cap(Prm|Eff|Amb)" /proc/self/status | grep -v "0000000000000000"' },
    { title: 'may gain privileges', line: 'grep "NoNewPrivs:.*0" /proc/self/status' },
    { title: 'sets the clock of the machine', line: 'date -s 2000-01-01' },
    { title: 'loads a module', line: 'modprobe loop' },
    { title: 'renames the machine', line: 'hostname broken' },
  ]
}

/** Starts it, waits for its shell's end, and gives what it printed. */
export async function printed(
  site: LocalSite,
  spawner: Spawner<LocalProfile>,
  spec: EnvironmentSpec<LocalProfile>,
): Promise<string> {
  await spawner.ensure(spec, AbortSignal.timeout(30_000))
  return await until(
    'its shell has ended',
    async () => {
      const text = (await spawner.logs?.(spec.id, AbortSignal.timeout(5_000))) ?? ''
      return text.includes('the shell ended with') && text
    },
    { timeoutMs: 60_000, everyMs: 50 },
  ).catch(async (error: unknown) => {
    const folder = join(site.stateFolder, spec.id)
    const seen = await spawner.observe(AbortSignal.timeout(5_000))
    const log = await spawner.logs?.(spec.id, AbortSignal.timeout(5_000))
    throw new Error(`${JSON.stringify(seen.get(spec.id))} ${log} ${(await readdir(folder)).join(' ')}`, {
      cause: error,
    })
  })
}

/** One line of output for each: its number and the exit code. */
export function asScript(all: readonly Escape[]): string {
  return all.map(({ line }, index) => `( ${line} ) </dev/null >/dev/null 2>&1; echo "row ${index} $?"`).join('\n')
}

/** Titles of those that did not fail. */
export function succeeded(all: readonly Escape[], output: string): readonly string[] {
  const codes = new Map([...output.matchAll(/^row (\d+) (\d+)$/gm)].map(([, row, code]) => [Number(row), Number(code)]))
  return all.filter((_escape, index) => (codes.get(index) ?? 0) === 0).map(({ title }) => title)
}
