/**
 * The test command: checks, then the tiers in order, then one line `N passed, N failed`.
 * node tests/run.ts [--scale] [--only checks|fast|e2e]
 */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { installPackages } from './setup/packages.ts'
import { builtImages } from './support/docker-cache.ts'
import { kubernetesBinaries } from './support/kubernetes.ts'

interface Result {
  readonly passed: number
  readonly failed: number
}

const { values: options } = parseArgs({
  options: { scale: { type: 'boolean', default: false }, only: { type: 'string' } },
})

const checks: readonly (readonly [title: string, ...argv: string[]])[] = [
  ['types', 'tsc'],
  ['types of the tests', 'tsc', '-p', 'tests'],
  ['lint', 'oxlint', '--type-aware', '--deny-warnings'],
  ['format', 'oxfmt', '--check'],
  ['dead code', 'knip'],
]

/** Most tests wait more than they compute. Browsers and clusters need more of the machine; thousands of things all. */
const tiers: Readonly<Record<string, readonly string[]>> = {
  fast: ['--timeout=3m', '--concurrency=4', 'tests/unit/**', 'tests/contract/**', 'tests/integration/**'],
  e2e: ['--timeout=10m', '--concurrency=3', 'tests/e2e/**'],
  scale: ['--timeout=40m', '--concurrency=1', 'tests/scale/**'],
}

process.exitCode = (await main()) ? 0 : 1

async function main(): Promise<boolean> {
  installPackages(say)
  // Beside the tests it would take what they need to be in time; elsewhere the first test that wants it builds it.
  if (process.env['CI'] === 'true') {
    const isBuilt = (building: Promise<unknown>): Promise<unknown> =>
      building.catch((error: unknown) => say(String(error)))
    await isBuilt(kubernetesBinaries(say))
    await isBuilt(builtImages(['notebook'], () => Promise.resolve(), say))
  }
  const results: Result[] = []
  const wanted = options.scale ? ['scale'] : ['checks', 'fast', 'e2e'].filter((name) => (options.only ?? name) === name)
  for (const name of wanted) {
    if (name === 'checks') for (const [title, ...argv] of checks) results.push(await check(title, argv))
    else results.push(await tier(name, tiers[name] ?? []))
  }
  const passed = results.reduce((sum, result) => sum + result.passed, 0)
  const failed = results.reduce((sum, result) => sum + result.failed, 0)
  say(`${passed} passed, ${failed} failed`)
  return failed === 0 && passed > 0
}

async function check(title: string, argv: readonly string[]): Promise<Result> {
  const lines: string[] = []
  const status = await run(argv, (line) => lines.push(line))
  say(`${status === 0 ? 'ok' : 'NOT OK'}  check: ${title}`)
  if (status !== 0) for (const line of lines) say(`    ${line}`)
  return status === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 }
}

/** Reads AVA's TAP: counts, and shows what failed or was skipped with its diagnostics. */
async function tier(name: string, args: readonly string[]): Promise<Result> {
  const startedAt = performance.now()
  let passed = 0
  let failed = 0
  let show = false
  const status = await run(['ava', '--tap', ...args], (line) => {
    if (/^ok \d+/.test(line)) passed += 1
    if (/^not ok \d+/.test(line)) failed += 1
    if (/^(not )?ok \d+/.test(line)) show = line.startsWith('not')
    if (show || /skipped: /.test(line)) say(line)
  })
  const crashed = status !== 0 && failed === 0 ? 1 : 0
  const seconds = Math.round((performance.now() - startedAt) / 1000)
  say(
    `${failed + crashed === 0 ? 'ok' : 'NOT OK'}  ${name}: ${passed} passed, ${failed + crashed} failed in ${seconds} s`,
  )
  return { passed, failed: failed + crashed }
}

async function run(argv: readonly string[], onLine: (line: string) => void): Promise<number> {
  const [command = '', ...args] = argv
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on('line', onLine)
  return await new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => resolve(code ?? 1))
  })
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
