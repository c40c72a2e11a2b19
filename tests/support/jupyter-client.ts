/** Kernels of a real JupyterLab, as JupyterLab's own client speaks to them. */
import { KernelManager, ServerConnection, type Kernel } from '@jupyterlab/services'
import { WebSocket } from 'ws'

export interface JupyterClient {
  readonly kernels: KernelManager
  start(): Promise<Kernel.IKernelConnection>
}

/** `url` ends with the environment's prefix. `headers` go with every request (a proxy's cookie, a host name). */
export async function jupyterClient(url: string, headers: Record<string, string> = {}): Promise<JupyterClient> {
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
  const serverSettings = ServerConnection.makeSettings({
    baseUrl: url,
    wsUrl: url.replace(/^http/, 'ws'),
    token: '',
    appendToken: false,
    init: { headers: all },
    WebSocket: Socket as never,
  })
  const kernels = new KernelManager({ serverSettings })
  await kernels.ready
  return { kernels, start: async () => await kernels.startNew({ name: 'python3' }) }
}

/** Runs it and returns what it printed; @throws with the kernel's error. */
export async function runCell(kernel: Kernel.IKernelConnection, code: string): Promise<string> {
  let printed = ''
  const future = kernel.requestExecute({ code })
  future.onIOPub = ({ content }) => {
    if ('text' in content && typeof content.text === 'string') printed += content.text
  }
  const { content } = await future.done
  if (content.status !== 'ok') throw new Error(`the cell ended with ${JSON.stringify(content)}`)
  return printed
}
