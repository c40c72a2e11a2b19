/** Accounts of hubs with the rights that the chart gives them and nothing more; no administrators. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Cluster } from './kubernetes.ts'

type Rights = 'one-namespace' | 'many-namespaces' | 'nodes' | 'confinement'

const rbac = 'rbac.authorization.k8s.io'

async function rights(name: Rights, replaced: Readonly<Record<string, string>> = {}): Promise<object> {
  const file = new URL(`../../config/kubernetes/chart/rights/${name}.json`, import.meta.url)
  const text = Object.entries(replaced).reduce(
    (result, [word, by]) => result.replaceAll(word, by),
    await readFile(file, 'utf8'),
  )
  return JSON.parse(text) as object
}

/** The kubeconfig (0600) of an account for one namespace, which is made; `port`: where it reaches the API server. */
export async function leastRights(
  cluster: Cluster,
  { namespace, port }: { namespace: string; port: number },
): Promise<string> {
  const metadata = { name: 'hutch-hub', namespace }
  // hostPath is not allowed in "restricted": homes here lie on the node, so that it is only warned of.
  const labels = { 'pod-security.kubernetes.io/warn': 'restricted' }
  await cluster.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels } })
  await cluster.apply({ apiVersion: 'v1', kind: 'ServiceAccount', metadata })
  await cluster.apply({ apiVersion: `${rbac}/v1`, kind: 'Role', metadata, ...(await rights('one-namespace')) })
  await cluster.apply({
    apiVersion: `${rbac}/v1`,
    kind: 'RoleBinding',
    metadata,
    roleRef: { apiGroup: rbac, kind: 'Role', name: 'hutch-hub' },
    subjects: [{ kind: 'ServiceAccount', ...metadata }],
  })
  return await kubeconfigOf(cluster, metadata, port)
}

/** The same for an account with namespaces of its own for each user, which it makes; it lives in `namespace`. */
export async function manyRights(
  cluster: Cluster,
  { namespace, hub, port }: { namespace: string; hub: string; port: number },
): Promise<string> {
  const account = { name: 'hutch-many', namespace }
  const metadata = { name: account.name }
  await cluster.apply({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: account })
  for (const name of ['one-namespace', 'many-namespaces', 'nodes'] as const) {
    const each = { name: `hutch-${name}` }
    await cluster.apply({ apiVersion: `${rbac}/v1`, kind: 'ClusterRole', metadata: each, ...(await rights(name)) })
    await cluster.apply({
      apiVersion: `${rbac}/v1`,
      kind: 'ClusterRoleBinding',
      metadata: each,
      roleRef: { apiGroup: rbac, kind: 'ClusterRole', ...each },
      subjects: [{ kind: 'ServiceAccount', ...account }],
    })
  }
  const admission = { apiVersion: 'admissionregistration.k8s.io/v1', metadata }
  const spec = await rights('confinement', { ACCOUNT: userOf(account), HUB: hub })
  await cluster.apply({ ...admission, kind: 'ValidatingAdmissionPolicy', spec })
  const binding = { policyName: account.name, validationActions: ['Deny'] }
  await cluster.apply({ ...admission, kind: 'ValidatingAdmissionPolicyBinding', spec: binding })
  return await kubeconfigOf(cluster, account, port)
}

export function userOf({ namespace, name }: { namespace: string; name: string }): string {
  return `system:serviceaccount:${namespace}:${name}`
}

async function kubeconfigOf(
  cluster: Cluster,
  { name, namespace }: { name: string; namespace: string },
  port: number,
): Promise<string> {
  const token = (await cluster.kubectl('create', 'token', name, '-n', namespace)).trim()
  const admin = await readFile(cluster.kubeconfig, 'utf8')
  const authority = await readFile(/certificate-authority: "([^"]*)"/.exec(admin)?.[1] ?? '')
  const file = join(cluster.folder, `${namespace}-${name}.kubeconfig`)
  const text = admin
    .replace(/certificate-authority: "[^"]*"/, `certificate-authority-data: "${authority.toString('base64')}"`)
    .replace(/server: "[^"]*"/, `server: "https://127.0.0.1:${port}"`)
    .replace(/token: "[^"]*"/, `token: "${token}"`)
  await writeFile(file, text, { mode: 0o600 })
  return file
}
