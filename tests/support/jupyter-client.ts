/** Kernels of a real JupyterLab, as JupyterLab's own client speaks to them. */
import { createRequire } from 'node:module'
import { WebSocket } from 'ws'

/** What the tests use of @jupyterlab/services; its own types need a browser's, which this project is without. */
export interface Kernel {
  readonly status: string
  requestExecute(content: { code: string }): Execution
  interrupt(): Promise<void>
  restart(): Promise<void>
}

interface Execution {
  onIOPub: (message: { content: object }) => void
  readonly done: Promise<{ content: { status: string } }>
}

interface Services {
  readonly KernelManager: new (options: object) => {
    readonly ready: Promise<void>
    startNew(options: { name: string }): Promise<Kernel>
    dispose(): void
  }
  readonly ServerConnection: { makeSettings(options: object): object }
}

export interface JupyterClient {
  start(): Promise<Kernel>
  close(): void
}

/** `url` ends with the environment's prefix. `headers` go with every request (a proxy's cookie, a host name). */
export async function jupyterClient(url: string, headers: Record<string, string> = {}): Promise<JupyterClient> {
  const services = createRequire(import.meta.url)('@jupyterlab/services') as Services
  // Jupyter wants its own cookie back with whatever changes something.
  const page = await fetch(`${url}lab`, { headers })
  const xsrf = page.headers
    .getSetCookie()
    .map((cookie) => /^_xsrf=([^;]+)/.exec(cookie)?.[1])
    .find((value) => value !== undefined)
  if (page.status !== 200 || xsrf === undefined) throw new Error(`${url}lab answers ${page.status}`)
  const cookie = [headers['Cookie'], `_xsrf=${xsrf}`].filter(Boolean).join('; ')
  const all = { ...headers, Cookie: cookie, 'X-XSRFToken': xsrf }
  class Socket extends WebSocket {
    constructor(address: string, protocols?: string | string[]) {
      super(address, protocols, { headers: all })
    }
  }
  const serverSettings = services.ServerConnection.makeSettings({
    baseUrl: url,
    wsUrl: url.replace(/^http/, 'ws'),
    token: '',
    appendToken: false,
    init: { headers: all },
    WebSocket: Socket,
  })
  const kernels = new services.KernelManager({ serverSettings })
  await kernels.ready
  return { start: async () => await kernels.startNew({ name: 'python3' }), close: () => kernels.dispose() }
}

/** Runs it and returns what it printed; @throws with the kernel's error. */
export async function runCell(kernel: Kernel, code: string): Promise<string> {
  let printed = ''
  const future = kernel.requestExecute({ code })
  future.onIOPub = ({ content }) => {
    if ('text' in content && typeof content.text === 'string') printed += content.text
  }
  const { content } = await future.done
  if (content.status !== 'ok') throw new Error(`the cell ended with ${JSON.stringify(content)}`)
  return printed
}
