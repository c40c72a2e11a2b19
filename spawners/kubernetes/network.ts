/**
 * The network policy of a namespace of environments: in come only hub and proxy, to the agent's port; out goes
 * everything but private addresses, so that environments reach neither each other, nor the hub's private ports, nor the
 * API server. A profile with a service account's token is let to the API server by `apiServer`. Pure.
 */
import type { V1NetworkPolicyPeer } from '@kubernetes/client-node'
import type { KubernetesConfig } from './config.ts'
import { label, selectorOf } from './names.ts'

/** `report`: where agents tell the hub how they are; the one private address that every environment needs. */
export function networkPolicy(
  hub: string,
  config: Pick<KubernetesConfig, 'proxySelector' | 'agentPort'>,
  report: Readonly<{ host: string; port: number }>,
): object {
  const [, hubLabel = ''] = selectorOf(hub).split('=')
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: 'hutch-environments', labels: { [label.hub]: hubLabel, [label.managedBy]: 'hutch' } },
    spec: {
      podSelector: { matchLabels: { [label.hub]: hubLabel, [label.app]: 'hutch-environment' } },
      policyTypes: ['Ingress', 'Egress'],
      ingress: [{ from: peersOf(config.proxySelector), ports: [{ port: config.agentPort, protocol: 'TCP' }] }],
      egress: [
        // Names: UDP and TCP 53, wherever the cluster's resolver is.
        { ports: ['UDP', 'TCP'].map((protocol) => ({ port: 53, protocol })) },
        { to: reportPeers(report.host, config), ports: [{ port: report.port, protocol: 'TCP' }] },
        {
          to: [
            { ipBlock: { cidr: '0.0.0.0/0', except: [...privateV4] } },
            { ipBlock: { cidr: '::/0', except: [...privateV6] } },
          ],
        },
      ],
    },
  }
}

/** RFC 1918, 6598, 3927 and loopback: clusters, nodes, metadata services and sites' insides. */
const privateV4 = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', '169.254.0.0/16', '127.0.0.0/8']
const privateV6 = ['fc00::/7', 'fe80::/10', '::1/128']

function peersOf({ namespace, pod, addresses }: KubernetesConfig['proxySelector']): V1NetworkPolicyPeer[] {
  const blocks = addresses.map((cidr) => ({ ipBlock: { cidr } }))
  const selects = Object.keys(namespace).length > 0 || Object.keys(pod).length > 0
  const selected = selects ? [{ namespaceSelector: { matchLabels: namespace }, podSelector: { matchLabels: pod } }] : []
  return [...selected, ...blocks]
}

/** An address of the hub's is named; behind a name, the hub is whoever the proxy selector says. */
function reportPeers(host: string, config: Pick<KubernetesConfig, 'proxySelector'>): V1NetworkPolicyPeer[] {
  if (/^\d+(\.\d+){3}$/.test(host)) return [{ ipBlock: { cidr: `${host}/32` } }]
  return peersOf(config.proxySelector)
}
