/** JupyterLab beside a desktop: started when somebody first asks for it, so that nobody else pays for it. */
import type { RunningApplication } from './application.ts'
import { createForwarder, type Forwarder } from './forward.ts'
import { upstreamOf } from './upstream.ts'

export interface Beside {
  /** Undefined: there is none here. `starting`: ask again in a moment. */
  forwarder(): Forwarder | 'starting' | undefined
  stop(graceMs: number): Promise<void>
}

export interface BesideOptions {
  readonly isThere: () => boolean
  readonly socketPath: string
  readonly start: () => RunningApplication
  readonly onReady: () => void
  readonly say: (line: string) => void
}

export function createBeside({ isThere, socketPath, start, onReady, say }: BesideOptions): Beside {
  let running: RunningApplication | undefined
  let ready: Forwarder | undefined

  const begin = (): void => {
    running = start()
    void follow(running)
  }

  async function follow(own: RunningApplication): Promise<void> {
    const how = await own.ready
    if (running === own && how === 'ready') {
      ready = createForwarder({ upstream: upstreamOf({ socket: socketPath }) })
      onReady()
    }
    if (how === 'late') await own.stop(1_000)
    // It may be started again by the next who asks: the desktop goes on without it.
    const { message } = await own.exit
    say(`JupyterLab beside the desktop: ${message.split('\n', 1)[0] ?? ''}`)
    if (running !== own) return
    ready?.close()
    ready = undefined
    running = undefined
  }

  return {
    forwarder() {
      if (ready !== undefined) return ready
      if (!isThere()) return undefined
      if (running === undefined) begin()
      return 'starting'
    },
    async stop(graceMs) {
      const own = running
      running = undefined
      ready?.close()
      await own?.stop(graceMs)
    },
  }
}
