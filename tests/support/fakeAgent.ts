/** Fake: stands where the agent stands. Does what the application's argv says, and ends at SIGTERM with 0. */
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

const bootstrap: { application: { argv: string[] } } = JSON.parse(readFileSync(0, 'utf8'))
const [does = 'run', ...rest] = bootstrap.application.argv

process.on('SIGTERM', () => {
  if (does !== 'stubborn') process.exit(0)
})
void main()

async function main(): Promise<void> {
  switch (does) {
    case 'end':
      process.exitCode = Number(rest[0])
      return
    case 'print':
      for (let bytes = 0; bytes < Number(rest[0]); bytes += 65_536) {
        writeFileSync(1, '0123456789abcde\n'.repeat(4_096))
      }
      process.stdout.write('the last line\n')
      break
    case 'shell': {
      const { status } = spawnSync('/bin/sh', ['-c', rest[0] ?? ''], { stdio: ['ignore', 'inherit', 'inherit'] })
      process.stdout.write(`the shell ended with ${status}\n`)
      break
    }
    case 'hog': {
      const kept: Buffer[] = []
      for (;;) kept.push(Buffer.alloc(2 ** 24, 1))
    }
    default:
      process.stdout.write(`${JSON.stringify(bootstrap)}\n`)
  }
  await sleep(2 ** 30)
}
