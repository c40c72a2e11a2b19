/**
 * The network policies of a namespace of environments. In come only hub and proxy, to the agent's port. Out goes
 * everything but private addresses, so that environments reach neither each other, nor the hub's private ports, nor the
 * API server; a profile with `network: open` reaches these as well. Pure.
 */
import type { V1NetworkPolicyEgressRule, V1NetworkPolicyPeer } from '@kubernetes/client-node'
import type { KubernetesConfig } from './config.ts'
import { environmentApp, label, labelValue } from './names.ts'

type Config = Pick<KubernetesConfig, 'proxySelector' | 'agentPort' | 'reachable'>

/** `report`: where agents tell the hub how they are; the one private address that every environment needs. */
export function networkPolicies(
  hub: string,
  config: Config,
  report: Readonly<{ host: string; port: number }>,
): readonly object[] {
  const ours = { [label.hub]: labelValue(hub), [label.app]: environmentApp }
  const policy = (name: string, spec: object): object => ({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name, labels: { [label.hub]: labelValue(hub), [label.managedBy]: 'hutch' } },
    spec,
  })
  return [
    policy('hutch-environments', {
      podSelector: { matchLabels: ours },
      policyTypes: ['Ingress', 'Egress'],
      ingress: rule('from', peersOf(config.proxySelector), config.agentPort),
      egress: egressOf(config, report),
    }),
    policy('hutch-open-environments', {
      podSelector: { matchLabels: { ...ours, [label.network]: 'open' } },
      policyTypes: ['Egress'],
      egress: [{}],
    }),
  ]
}

function egressOf(config: Config, report: Readonly<{ host: string; port: number }>): V1NetworkPolicyEgressRule[] {
  return [
    // Names: UDP and TCP 53, wherever the cluster's resolver is.
    { ports: ['UDP', 'TCP'].map((protocol) => ({ port: 53, protocol })) },
    ...rule('to', reportPeers(report.host, config), report.port),
    {
      to: [
        { ipBlock: { cidr: '0.0.0.0/0', except: [...privateV4] } },
        { ipBlock: { cidr: '::/0', except: [...privateV6] } },
        ...config.reachable.map((cidr) => ({ ipBlock: { cidr } })),
      ],
    },
  ]
}

/** An empty list of peers would mean everybody: nobody is no rule at all. */
function rule(side: 'from' | 'to', peers: readonly V1NetworkPolicyPeer[], port: number): object[] {
  return peers.length === 0 ? [] : [{ [side]: peers, ports: [{ port, protocol: 'TCP' }] }]
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
