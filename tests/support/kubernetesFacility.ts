/** The chart as a facility has it: https by an Ingress, its own login service, two replicas, what monitors and guards. */
import { mkdtemp, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { rm } from 'node:fs/promises'
import type { ExecutionContext } from 'ava'
import { authority } from './certificate.ts'
import { startFakeIngress } from './fakeIngress.ts'
import { freePort } from './hutch.ts'
import { places, type Installed } from './kubernetesChart.ts'
import { startProvider } from './oidc.ts'

export const hosts = { hub: 'hub.hutch.localhost', users: '{user}.envs.hutch.localhost' } as const

export interface Facility {
  readonly url: string
}

/** `reachable`: private addresses that environments may reach. Undefined: something is missing, and the test has said so. */
export async function asFacility(
  t: ExecutionContext,
  { cluster, change }: Installed,
  { reachable }: { reachable: readonly string[] },
): Promise<Facility | undefined> {
  const namespace = places.hub
  const port = await freePort()
  const url = `https://${hosts.hub}:${port}`
  const folder = await mkdtemp(join(tmpdir(), 'hutch-facility-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const names = [hosts.hub, hosts.users.replace('{user}', '*')]
  const { ca, sign } = await authority(folder)
  const signed = await sign('facility', { address: cluster.gateway, hosts: names })
  const at = { host: cluster.gateway, cert: await readFile(signed.cert), key: await readFile(signed.key) }
  const provider = await startProvider(t, { hub: url, name: 'facility', at })
  await cluster.kubectl('create', 'secret', 'tls', 'web', '-n', namespace, '--cert', signed.cert, '--key', signed.key)
  await cluster.kubectl('create', 'configmap', 'authorities', '-n', namespace, `--from-file=ca.crt=${ca}`)
  const secret = `--from-literal=client-secret=${provider.clientSecret}`
  await cluster.kubectl('create', 'secret', 'generic', 'oidc', '-n', namespace, secret)
  await cluster.apply(serviceMonitors)
  await cluster.kubectl('wait', '--for=condition=Established', 'crd/servicemonitors.monitoring.coreos.com')
  const { issuer, clientId } = provider
  const facility = { title: 'Facility account', issuer, clientId, clientSecretFile, proves: 'account' }
  await change({
    publicUrl: url,
    replicas: 2,
    authorities: 'authorities',
    secrets: { oidc: 'oidc' },
    serviceMonitor: true,
    ingress: { enabled: true, className: 'any', tlsSecret: 'web' },
    environments: { disruptionBudget: true, reachable },
    configuration: {
      listen: '0.0.0.0:8000',
      login: { demo: false, providers: { facility } },
      environments: { hosts: hosts.users },
      proxy: { trustedProxies: [`${cluster.gateway}/32`] },
    },
  })
  const ingress = await startFakeIngress(t, cluster, { namespace, name: 'hutch', port })
  await ingress?.follow()
  return ingress && { url }
}

const clientSecretFile = '/etc/hutch/secrets/oidc/client-secret'

/** As much of the Prometheus operator's definition as takes such an object. */
const serviceMonitors = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'servicemonitors.monitoring.coreos.com' },
  spec: {
    group: 'monitoring.coreos.com',
    names: {
      kind: 'ServiceMonitor',
      listKind: 'ServiceMonitorList',
      plural: 'servicemonitors',
      singular: 'servicemonitor',
    },
    scope: 'Namespaced',
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: {
          openAPIV3Schema: {
            type: 'object',
            required: ['spec'],
            properties: { spec: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
          },
        },
      },
    ],
  },
}
