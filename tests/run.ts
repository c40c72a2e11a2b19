/**
 * The test command: checks, then the tiers in order, then one line `N passed, N failed`.
 * node tests/run.ts [--scale] [--only checks|fast|e2e]
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { installPackages } from './setup/packages.ts'
import { builtImages } from './support/docker-cache.ts'
import { kubernetesBinaries } from './support/kubernetes.ts'

interface Result {
  readonly passed: number
  readonly failed: number
}

interface Outcome {
  readonly passed: number
  /** Titles. */
  readonly failures: readonly string[]
  /** 1 where AVA failed and named no test. */
  readonly crashed: 0 | 1
}

interface Tier {
  readonly args: readonly string[]
  /** At most so many files are tried once more when they failed: more is no accident of a busy machine. */
  readonly again?: number
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
const tiers: Readonly<Record<string, Tier>> = {
  fast: {
    args: ['--timeout=3m', '--concurrency=4', 'tests/unit/**', 'tests/contract/**', 'tests/integration/**'],
    again: 1,
  },
  e2e: { args: ['--timeout=10m', '--concurrency=3', 'tests/e2e/**'], again: 2 },
  scale: { args: ['--timeout=40m', '--concurrency=1', 'tests/scale/**'] },
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
    else results.push(await tier(name, tiers[name] ?? { args: [] }))
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

/** A tier once; what failed in one that may be tried again runs once more, alone, and both outcomes are told. */
async function tier(name: string, { args, again = 0 }: Tier): Promise<Result> {
  const startedAt = performance.now()
  const first = await ava(args)
  const files = [...new Set(first.failures.map((title) => fileOf(title)))]
  const isWorthIt = first.crashed === 0 && files.length > 0 && files.length <= again && !files.includes(undefined)
  const second = isWorthIt ? await alone(files.filter((file) => file !== undefined)) : undefined
  const failed =
    first.crashed + (second === undefined ? first.failures.length : second.crashed + second.failures.length)
  const passed = first.passed + Math.max(0, first.failures.length + first.crashed - failed)
  const seconds = Math.round((performance.now() - startedAt) / 1000)
  if (second !== undefined && failed === 0) say(`UNSTEADY  ${first.failures.length} of ${name} passed only when alone`)
  say(`${failed === 0 ? 'ok' : 'NOT OK'}  ${name}: ${passed} passed, ${failed} failed in ${seconds} s`)
  return { passed, failed }
}

/** The files once more with the machine to themselves. */
async function alone(files: readonly string[]): Promise<Outcome> {
  say(`again, alone: ${files.join(', ')}`)
  return await ava(['--timeout=10m', '--concurrency=1', ...files])
}

/** Reads AVA's TAP: counts, and shows what failed or was skipped. */
async function ava(args: readonly string[]): Promise<Outcome> {
  let passed = 0
  const failures: string[] = []
  let block: string[] = []
  const showFailure = (): void => {
    for (const line of failureInShort(block)) say(line)
    block = []
  }
  const status = await run(['ava', '--tap', ...args], (line) => {
    const [, not, title] = /^(not )?ok \d+ - (.*)/.exec(line) ?? []
    if (title !== undefined) showFailure()
    if (title !== undefined && not === undefined) passed += 1
    if (title !== undefined && not !== undefined) failures.push(title)
    if (/skipped: /.test(line)) say(line)
    else if (not !== undefined || block.length > 0) block.push(line)
  })
  showFailure()
  return { passed, failures, crashed: status !== 0 && failures.length === 0 ? 1 : 0 }
}

/** The title, what is wrong, and only then the end of what the test logged: a long log must not hide the reason. */
function failureInShort(block: readonly string[]): readonly string[] {
  const [title, ...rest] = block
  const logged = rest.filter((line) => line.startsWith('#'))
  const reason = rest.filter((line) => !line.startsWith('#'))
  const short = (line: string): string => (line.length > 400 ? `${line.slice(0, 400)}…` : line)
  return [...(title === undefined ? [] : [title]), ...reason.slice(0, 80), ...logged.slice(-40)].map(short)
}

/** AVA names a test `folder › file › title`, from where the tier's patterns part. */
function fileOf(title: string): string | undefined {
  const parts = title.split(' › ')
  const paths = parts.flatMap((_, end) => {
    const path = `${parts.slice(0, end + 1).join('/')}.test.ts`
    return [`tests/${path}`, `tests/e2e/${path}`]
  })
  return paths.find((path) => existsSync(path))
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
