/**
 * In place of an ingress controller, none of which can be had here: a real nginx, made from what the cluster's Ingress,
 * Secret and EndpointSlices say. As ingress-nginx it asks the pods in turn and heeds no affinity of the Service.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { available, program } from './component.ts'
import type { Cluster } from './kubernetes.ts'
import { temporaryFolder } from './temporary.ts'
import { until } from './until.ts'

export interface FakeIngress {
  /** Reads the cluster's objects again. */
  follow(): Promise<void>
}

interface Where {
  readonly namespace: string
  readonly name: string
  /** On loopback. */
  readonly port: number
}

interface Ingress {
  readonly spec: Readonly<{
    tls: readonly Readonly<{ secretName: string; hosts: readonly string[] }>[]
    rules: readonly Readonly<{
      host: string
      http: {
        paths: readonly Readonly<{ path: string; backend: { service: { name: string; port: { name: string } } } }>[]
      }
    }>[]
  }>
}

/** Undefined: nginx is missing, and the test has said so. */
export async function startFakeIngress(
  t: ExecutionContext,
  cluster: Cluster,
  where: Where,
): Promise<FakeIngress | undefined> {
  const nginx = program('nginx')
  if (!available(t, 'nginx', nginx, 'apt-get install nginx-light') || nginx === undefined) return undefined
  const folder = await temporaryFolder(t)
  await mkdir(join(folder, 'temporary'))
  const file = join(folder, 'nginx.conf')
  let child: ChildProcess | undefined
  t.teardown(async () => {
    if (child === undefined || child.exitCode !== null) return
    const exit = once(child, 'exit')
    child.kill('SIGTERM')
    await exit
  })
  return {
    async follow() {
      await writeFile(file, await configurationOf(cluster, where, folder))
      if (child === undefined) {
        child = spawn(nginx, ['-p', folder, '-c', file, '-e', join(folder, 'error.log')], { stdio: 'ignore' })
      } else child.kill('SIGHUP')
      await until(
        'nginx listens',
        async () => {
          if (child?.exitCode !== null) throw new Error(await readFile(join(folder, 'error.log'), 'utf8'))
          return await fetch(`http://127.0.0.1:${where.port}/`).then(Boolean, () => false)
        },
        { timeoutMs: 60_000 },
      )
    },
  }
}

async function configurationOf({ kubectl }: Cluster, where: Where, folder: string): Promise<string> {
  const { namespace, name, port } = where
  const get = async <T>(...what: readonly string[]): Promise<T> =>
    JSON.parse(await kubectl('get', ...what, '-n', namespace, '-o', 'json')) as T
  const { spec } = await get<Ingress>('ingress', name)
  const [tls] = spec.tls
  if (tls === undefined) throw new Error('the Ingress has no TLS')
  const { data } = await get<{ data: Record<string, string> }>('secret', tls.secretName)
  for (const each of ['tls.crt', 'tls.key']) {
    await writeFile(join(folder, each), Buffer.from(data[each] ?? '', 'base64'), { mode: 0o600 })
  }
  const [backend] = spec.rules.flatMap(({ http }) => http.paths.map((path) => path.backend.service))
  const { items } = await get<{ items: readonly EndpointSlice[] }>(
    'endpointslices',
    '-l',
    `kubernetes.io/service-name=${backend?.name}`,
  )
  const servers = items.flatMap(({ endpoints, ports }) =>
    endpoints
      .filter(({ conditions }) => conditions.ready)
      .map(({ addresses: [address] }) => `${address}:${ports.find((each) => each.name === backend?.port.name)?.port}`),
  )
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  return `
    daemon off; worker_processes 1; pid ${folder}/pid; error_log ${folder}/error.log warn;
    events { worker_connections 512; }
    http {
      access_log off;
      ${paths.map((each) => `${each}_temp_path ${folder}/temporary/${each};`).join(' ')}
      map $http_upgrade $connection_upgrade { default upgrade; '' close; }
      upstream pods { ${servers.map((server) => `server ${server};`).join(' ')} }
      server {
        listen 127.0.0.1:${port} ssl;
        server_name ${spec.rules.map(({ host }) => host).join(' ')};
        ssl_certificate ${folder}/tls.crt; ssl_certificate_key ${folder}/tls.key;
        client_max_body_size 0;
        # For the test: which of them answered.
        add_header x-pod $upstream_addr always;
        location / {
          proxy_pass http://pods;
          proxy_http_version 1.1;
          proxy_buffering off; proxy_request_buffering off; proxy_read_timeout 1h;
          proxy_set_header Host $http_host;
          proxy_set_header Upgrade $http_upgrade;
          proxy_set_header Connection $connection_upgrade;
          proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
          proxy_set_header X-Forwarded-Proto $scheme;
          proxy_set_header X-Forwarded-Host $http_host;
        }
      }
    }`
}

interface EndpointSlice {
  readonly endpoints: readonly Readonly<{ addresses: readonly string[]; conditions: { ready: boolean } }>[]
  readonly ports: readonly Readonly<{ name: string; port: number }>[]
}
