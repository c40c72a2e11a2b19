/** What the agent starts, where, and where the browser goes first. */
import { posix } from 'node:path'
import type { ProfileConfiguration } from '../../config/schema.ts'
import { defaultApplication } from '../../images/agent/applications.ts'
import type { Account, Application } from '../../spawners/spawner.ts'
import { Problem } from '../domain/problem.ts'
import type { Proposal } from '../domain/services.ts'
import type { DerivedMount } from './mounts.ts'
import { isPlainPath } from './paths.ts'

export interface ApplicationRequest {
  readonly name: string
  readonly profile: ProfileConfiguration
  readonly account: Account
  readonly proposals: readonly Proposal[]
  readonly mounts: readonly DerivedMount[]
  /** From the choices, checked as text: an absolute path as the environment sees it. */
  readonly open?: string
  /** From the choices, checked as text: below the first proposal's folder. */
  readonly notebook?: string
}

/** @throws Problem launchRefused when the profile names no command and its kind has none of its own. */
export function applicationOf(request: ApplicationRequest): Application {
  const { profile, name } = request
  const usual = profile.protocol === 'jupyterhub' ? singleUser : defaultApplication(profile.kind)
  const argv = profile.argv ?? usual?.argv ?? (profile.image === undefined ? undefined : [])
  if (argv === undefined) {
    throw new Problem('launchRefused', `The profile ${name} has no command. Ask your administrator to give it argv.`)
  }
  return {
    kind: profile.kind,
    argv,
    readyPath: profile.readyPath ?? usual?.readyPath ?? '',
    landingPath: profile.landingPath ?? landingPath(request, usual?.landingPath ?? ''),
    directory: startFolder(request),
    ...(profile.port !== undefined && { port: profile.port }),
    ...(profile.atRoot && { atRoot: true }),
  }
}

/** What images made for JupyterHub start with. */
const singleUser = { argv: ['jupyterhub-singleuser'], readyPath: 'api', landingPath: 'lab' } as const

/** The first proposal's folder for results, else its first folder, else the home. */
function startFolder({ account, proposals, mounts }: ApplicationRequest): string {
  const own = mounts.filter((each) => each.proposal !== undefined && each.proposal === proposals[0]?.id)
  return (own.find((each) => !each.mount.readOnly) ?? own[0])?.mount.target ?? account.home
}

/** Where all of a proposal's data lie, or each of its folders when they have no place of their own in common. */
export function proposalFolders(proposal: Proposal, mounts: readonly DerivedMount[]): readonly string[] {
  const targets = mounts.filter((each) => each.proposal === proposal.id).map((each) => each.mount.target)
  if (targets.length < 2) return targets
  const common = targets.map((target) => target.split('/')).reduce(commonStart)
  return common.includes(proposal.id) ? [common.join('/')] : targets
}

/** JupyterLab's file browser is rooted at '/': what it shows first is a notebook, or a folder. */
function landingPath(request: ApplicationRequest, usual: string): string {
  // Its own root decides what such a server calls which path.
  if (request.profile.kind !== 'notebook' || request.profile.protocol === 'jupyterhub') return usual
  const path = request.open ?? notebookOf(request) ?? startFolder(request)
  return `${usual}/tree${path.split('/').map(encodeURIComponent).join('/')}`
}

/** The one that was chosen, else the one that the catalogue says. */
function notebookOf(request: ApplicationRequest): string | undefined {
  const [proposal] = request.proposals
  const [found, ...others] = proposal === undefined ? [] : proposalFolders(proposal, request.mounts)
  const notebook = request.notebook ?? proposal?.notebook
  if (notebook === undefined) return undefined
  const folder = request.notebook !== undefined && others.length > 0 ? startFolder(request) : found
  if (folder === undefined || (request.notebook === undefined && others.length > 0)) return undefined
  const path = posix.join(folder, notebook)
  return isPlainPath(path) && path.startsWith(`${folder}/`) ? path : undefined
}

function commonStart(a: readonly string[], b: readonly string[]): string[] {
  const end = a.findIndex((part, index) => part !== b[index])
  return a.slice(0, end === -1 ? a.length : end)
}
