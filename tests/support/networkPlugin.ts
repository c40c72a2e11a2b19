/**
 * Something that enforces NetworkPolicies, beside the kubelet: the firewall of kube-router, which somebody has put on the
 * PATH; it can't be had from the package registries that tests use. And probes: who reaches whom.
 */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { readFile } from 'node:fs/promises'
import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { ExecutionContext } from 'ava'
import { program } from './component.ts'
import type { Cluster } from './kubernetes.ts'

const run = promisify(execFile)

export function networkPlugin(): string | undefined {
  return program('ipset') === undefined ? undefined : program('kube-router')
}

/** From now on policies are enforced; what it made of rules and sets goes when the test ends. */
export async function enforcePolicies(t: ExecutionContext, cluster: Cluster, kubeRouter: string): Promise<void> {
  // Pods of one bridge reach each other below IP: this brings that to the firewall, as kube-router's own bridge does.
  const bridged = (await readFile('/proc/sys/net/bridge/bridge-nf-call-iptables', 'utf8')).trim()
  if (bridged !== '1') throw new Error('net.bridge.bridge-nf-call-iptables is not 1')
  const parts = ['--run-firewall=true', '--run-router=false', '--run-service-proxy=false', '--enable-cni=false']
  const place = ['--kubeconfig', cluster.kubeconfig, '--hostname-override', 'node1', '--health-port', '0']
  const services = ['--service-cluster-ip-range', '10.96.0.0/16', '--iptables-sync-period', '30s']
  const child = spawn(kubeRouter, [...parts, ...place, ...services], { stdio: ['ignore', 'ignore', 'pipe'] })
  child.stderr.pipe(createWriteStream(join(cluster.folder, 'log', 'kube-router.log')))
  const ended = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGTERM')
    await ended
    await run(kubeRouter, ['--cleanup-config', ...place], { timeout: 120_000 }).catch((error: unknown) =>
      t.log(String(error)),
    )
  })
}

export interface Target {
  readonly host: string
  readonly port: number
}

const ask = `
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def reach(target):
    try:
        socket.create_connection((target['host'], target['port']), 5).close()
        return True
    except OSError:
        return False
targets = json.loads(sys.argv[1])
print(json.dumps(list(ThreadPoolExecutor(32).map(reach, targets))))`

/** Which of the targets a pod reaches by TCP, by their names. The pod has a python3. */
export async function reaches(
  { kubectl }: Cluster,
  from: Readonly<{ namespace: string; pod: string }>,
  targets: Readonly<Record<string, Target>>,
): Promise<readonly string[]> {
  const python = ['python3', '-c', ask, JSON.stringify(Object.values(targets))]
  const answer = JSON.parse(await kubectl('exec', '-n', from.namespace, from.pod, '--', ...python)) as boolean[]
  return Object.keys(targets).filter((_, index) => answer[index])
}

/** Something that listens at an address of this machine which is on no network; the bridge takes it along when it goes. */
export async function listenAt(t: ExecutionContext, cluster: Cluster, host: string): Promise<Target> {
  await run('ip', ['address', 'add', `${host}/32`, 'dev', cluster.bridge])
  const server = createServer((socket) => socket.on('error', () => undefined).end())
  server.listen(0, host)
  await once(server, 'listening')
  t.teardown(() => server.close())
  return { host, port: (server.address() as { port: number }).port }
}
