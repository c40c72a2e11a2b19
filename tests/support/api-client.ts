/** A client of JupyterHub's API that believes nothing: each answer must be one that the OpenAPI document knows. */
import type { ExecutionContext } from 'ava'
import { jupyterHubOperations, type JupyterHubOptions } from '../../hub/http/jupyterhub/index.ts'
import type { Documented } from '../../hub/http/jupyterhub/operation.ts'

/** The operations without a hub behind them: for their document alone. */
export function documentedOperations(): readonly Documented[] {
  return jupyterHubOperations({ services: {}, access: {} } as unknown as JupyterHubOptions)
}

interface ApiAnswer {
  readonly status: number
  // oxlint-disable-next-line typescript/no-explicit-any -- what is in it is what the test is about
  readonly body: any
  readonly headers: Headers
}

export interface ApiClient {
  ask(method: string, path: string, body?: unknown, headers?: Readonly<Record<string, string>>): Promise<ApiAnswer>
  as(token: string | undefined): ApiClient
  /** 'GET /users/{name} 200' of all clients of this one's family. */
  readonly seen: Set<string>
}

export function createApiClient(
  t: ExecutionContext,
  url: string,
  token: string | undefined,
  operations = documentedOperations(),
  seen = new Set<string>(),
): ApiClient {
  return {
    seen,
    as: (other) => createApiClient(t, url, other, operations, seen),
    async ask(method, path, body, headers = {}) {
      const response = await fetch(`${url}/hub/api${path}`, {
        method,
        redirect: 'manual',
        headers: {
          ...(token === undefined ? {} : { authorization: `token ${token}` }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
        signal: AbortSignal.timeout(30_000),
      })
      const text = await response.text()
      const type = response.headers.get('content-type') ?? ''
      const parsed: unknown = type.includes('json') ? JSON.parse(text) : text
      check(t, operations, method, path, { status: response.status, type, text, parsed }, seen)
      return { status: response.status, body: parsed, headers: response.headers }
    },
  }
}

interface Given {
  readonly status: number
  readonly type: string
  readonly text: string
  readonly parsed: unknown
}

function check(
  t: ExecutionContext,
  operations: readonly Documented[],
  method: string,
  path: string,
  { status, type, text, parsed }: Given,
  seen: Set<string>,
): void {
  const what = `${method} ${path} → ${status} ${text.slice(0, 300)}`
  const plain = path.split('?', 1)[0] ?? ''
  const found = operations.find((each) => each.method === method && matches(each.path, plain))
  const documented = found?.answers[status]
  if (found === undefined || documented === undefined) {
    t.regex(type, /^application\/problem\+json/, what)
    t.true(status >= 400 && status < 500, what)
    const { message, detail } = parsed as { message?: string; detail?: string }
    t.truthy(detail, what)
    t.is(message, detail, what)
    return
  }
  seen.add(`${method} ${found.path} ${status}`)
  if (documented.schema === null) return void t.is(text, '', what)
  t.true(type.startsWith(documented.type ?? 'application/json'), what)
  const result = documented.schema.safeParse(parsed)
  t.true(result.success, `${what}\n${result.error?.message}`)
}

function matches(pattern: string, path: string): boolean {
  const [want, have] = [pattern.split('/'), path.split('/')]
  return want.length === have.length && want.every((part, index) => part.startsWith('{') || part === have[index])
}
