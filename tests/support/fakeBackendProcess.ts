/** The fake backend as a process of its own: it outlives a hub, and its work is not counted as the caller's. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { fakeControls } from './fakeSpawner.ts'

export interface FakeBackendProcess {
  readonly url: string
  readonly pid: number
  readonly controls: ReturnType<typeof fakeControls>
  close(): Promise<void>
}

export async function spawnFakeBackend(): Promise<FakeBackendProcess> {
  const program = fileURLToPath(new URL('fakeBackend.ts', import.meta.url))
  const child = spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'inherit'] })
  const [line] = await once(createInterface(child.stdout), 'line')
  const { url }: { url: string } = JSON.parse(String(line))
  return {
    url,
    pid: child.pid ?? 0,
    controls: fakeControls(url),
    async close() {
      const exit = once(child, 'exit')
      child.stdin.end()
      await exit
    },
  }
}
