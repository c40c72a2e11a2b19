/** `npm run bench [-- launch start login storm desktop docker slurm kubernetes proxy api]`: figures on standard output; nothing here passes or fails. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runHutch } from '../support/hutch.ts'
import { logInAs } from '../support/scientist.ts'
import { benchApi } from './api.ts'
import { benchDesktop } from './desktop.ts'
import { benchDocker } from './docker.ts'
import { benchKubernetes } from './kubernetes.ts'
import { benchCatalogue } from './catalogue.ts'
import { benchLaunch } from './launch.ts'
import { benchLogin } from './login.ts'
import { benchProxy } from './proxy.ts'
import { benchQuota } from './quota.ts'
import { benchSlurmFirst } from './slurm-first.ts'
import { benchSlurmQueue } from './slurm.ts'
import { benchMemory, benchStart } from './start.ts'
import { benchStorm } from './storm.ts'

const wanted = new Set(process.argv.slice(2))
const isWanted = (name: string): boolean => wanted.size === 0 || wanted.has(name)

const folder = await mkdtemp(join(tmpdir(), 'hutch-bench-'))
try {
  const state = join(folder, 'state')
  if (isWanted('start')) await benchStart(state)
  if (isWanted('launch') || isWanted('start')) {
    const hutch = await runHutch({ state })
    try {
      const ada = await logInAs(hutch.url, 'ada', (await hutch.passwords())['ada'] ?? '')
      if (isWanted('start')) await benchMemory(hutch, ada)
      if (isWanted('launch')) await benchLaunch(hutch, ada)
    } finally {
      await hutch.stop()
    }
  }
  if (isWanted('login')) await benchLogin(folder)
  if (isWanted('storm')) await benchStorm(folder)
  if (isWanted('desktop')) await benchDesktop(folder)
  if (isWanted('quota')) await benchQuota()
  if (isWanted('catalogue')) await benchCatalogue(folder)
  if (isWanted('slurm') || isWanted('slurm-first')) await benchSlurmFirst()
  if (isWanted('slurm') || isWanted('slurm-queue')) await benchSlurmQueue()
  if (isWanted('docker')) await benchDocker()
  if (isWanted('kubernetes')) await benchKubernetes()
  if (isWanted('proxy')) await benchProxy(3, [])
  if (isWanted('api')) await benchApi(folder)
} finally {
  await rm(folder, { recursive: true, force: true })
}
