/** A kernel, at its agent or behind the proxy, spoken to with JupyterLab's own client library. */
import { createRequire } from 'node:module'
import { WebSocket } from 'ws'
import type { Launched, Scientist } from './scientist.ts'

/** What we use of it: its own declarations need a browser's and do not pass our strict check. */
interface Kernel {
  readonly id: string
  readonly status: string
  readonly connectionStatus: string
  requestExecute(content: { code: string }): {
    onIOPub: (message: { content: { text?: unknown } }) => void
    readonly done: Promise<{ content: { status: string } }>
  }
  interrupt(): Promise<void>
  restart(): Promise<void>
  dispose(): void
}
interface KernelManager {
  startNew(options: { name: string }): Promise<Kernel>
  connectTo(options: { model: { id: string; name: string } }): Kernel
  dispose(): void
}
interface Services {
  readonly KernelManager: new (options: { serverSettings: object }) => KernelManager
  readonly ServerConnection: { makeSettings(options: object): object }
}

const services = createRequire(import.meta.url)('@jupyterlab/services') as Services

export interface RemoteKernel {
  readonly id: string
  /** Runs the code and returns what it printed. Throws what it raised. */
  run(code: string): Promise<string>
  /** Of the WebSocket: connected, connecting, disconnected. */
  readonly status: () => string
  /** Of the kernel: idle, busy … */
  readonly activity: () => string
  interrupt(): Promise<void>
  restart(): Promise<void>
  dispose(): void
}

/** Through the proxy, with the cookies that the scientist has at each request. `id`: of a kernel that is there. */
export async function openKernel(
  { jar }: Pick<Scientist, 'jar'>,
  { url }: Pick<Launched, 'url'>,
  id?: string,
): Promise<RemoteKernel> {
  const { origin } = new URL(url)
  // By path: a jar that has been in two environments has two cookies of one name.
  const headers = () => {
    const cookie = jar.header(url)
    return { cookie, origin, 'x-xsrftoken': /(?:^|; )_xsrf=([^;]+)/.exec(cookie)?.[1] ?? '' }
  }
  return await connect(url, headers, id)
}

/** A new one where nobody asks who comes. `url` ends with the environment's prefix. */
export async function openKernelAt(url: string): Promise<RemoteKernel> {
  // Jupyter wants its own cookie back with whatever changes something.
  const page = await fetch(`${url}lab`)
  const [xsrf] = page.headers.getSetCookie().flatMap((cookie) => /^_xsrf=([^;]+)/.exec(cookie)?.[1] ?? [])
  if (page.status !== 200 || xsrf === undefined) throw new Error(`${url}lab answers ${page.status}`)
  return await connect(url, () => ({ cookie: `_xsrf=${xsrf}`, 'x-xsrftoken': xsrf }))
}

type Headers = () => Readonly<Record<string, string>>

async function connect(url: string, headers: Headers, id?: string): Promise<RemoteKernel> {
  const manager = new services.KernelManager({ serverSettings: settings(url, headers) })
  const kernel =
    id === undefined
      ? await manager.startNew({ name: 'python3' })
      : manager.connectTo({ model: { id, name: 'python3' } })
  return {
    id: kernel.id,
    status: () => kernel.connectionStatus,
    activity: () => kernel.status,
    interrupt: () => kernel.interrupt(),
    restart: () => kernel.restart(),
    async run(code) {
      const future = kernel.requestExecute({ code })
      let printed = ''
      future.onIOPub = ({ content }) => {
        if (typeof content.text === 'string') printed += content.text
      }
      const { content } = await future.done
      if (content.status !== 'ok') throw new Error(JSON.stringify(content))
      return printed.trim()
    },
    dispose() {
      kernel.dispose()
      manager.dispose()
    },
  }
}

function settings(url: string, headers: Headers): object {
  const withHeaders = async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const request = new Request(input, init)
    for (const [name, value] of Object.entries(headers())) request.headers.set(name, value)
    request.headers.set('sec-fetch-site', 'same-origin')
    return await fetch(request)
  }
  class Socket extends WebSocket {
    constructor(address: string | URL, protocols?: string | string[]) {
      super(address, protocols, { headers: headers() })
    }
  }
  return services.ServerConnection.makeSettings({
    baseUrl: url,
    wsUrl: url.replace(/^http/, 'ws'),
    token: '',
    appendToken: false,
    fetch: withHeaders,
    WebSocket: Socket,
  })
}
