/** A kernel behind the proxy, spoken to with JupyterLab's own client library. */
import { createRequire } from 'node:module'
import { WebSocket } from 'ws'
import type { Launched, Scientist } from './scientist.ts'

/** What we use of it: its own declarations need a browser's and do not pass our strict check. */
interface Kernel {
  readonly id: string
  readonly connectionStatus: string
  requestExecute(content: { code: string }): {
    onIOPub: (message: { content: { text?: unknown } }) => void
    readonly done: Promise<{ content: { status: string } }>
  }
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
  readonly status: () => string
  dispose(): void
}

export async function openKernel(
  scientist: Pick<Scientist, 'jar'>,
  launched: Pick<Launched, 'url'>,
  id?: string,
): Promise<RemoteKernel> {
  const manager = new services.KernelManager({ serverSettings: settings(scientist, launched) })
  const kernel =
    id === undefined
      ? await manager.startNew({ name: 'python3' })
      : manager.connectTo({ model: { id, name: 'python3' } })
  return {
    id: kernel.id,
    status: () => kernel.connectionStatus,
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

function settings({ jar }: Pick<Scientist, 'jar'>, { url }: Pick<Launched, 'url'>): object {
  const { origin } = new URL(url)
  const cookies = (): string => jar.header(url)
  const xsrf = (): string => /(?:^|; )_xsrf=([^;]*)/.exec(cookies())?.[1] ?? ''
  const withCookies = async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const request = new Request(input, init)
    request.headers.set('cookie', cookies())
    request.headers.set('origin', origin)
    request.headers.set('sec-fetch-site', 'same-origin')
    request.headers.set('x-xsrftoken', xsrf())
    return await fetch(request)
  }
  class Socket extends WebSocket {
    constructor(address: string | URL, protocols?: string | string[]) {
      super(address, protocols, { headers: { cookie: cookies(), origin } })
    }
  }
  return services.ServerConnection.makeSettings({
    baseUrl: url,
    wsUrl: url.replace(/^http/, 'ws'),
    token: '',
    fetch: withCookies,
    WebSocket: Socket,
  })
}
