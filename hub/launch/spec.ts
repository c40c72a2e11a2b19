/** Choices, checked and found, as a spec and as the row that wants it. Pure. */
import type { Configuration, FlavourConfiguration, ProfileConfiguration } from '../../config/schema.ts'
import { specDigest } from '../../spawners/common/specDigest.ts'
import type { Account, EnvironmentId, EnvironmentSpec, OwnerLimits, Resources } from '../../spawners/spawner.ts'
import type { Choices } from '../domain/environment.ts'
import type { Dataset, Proposal, User } from '../domain/services.ts'
import type { NewEnvironment } from '../store/schema.ts'
import { callbackOf, clientIdOf } from '../oauth/clients.ts'
import { serverNameOf } from '../roles/server-name.ts'
import { applicationOf, proposalFolders } from './application.ts'
import type { DerivedMount } from './mounts.ts'

export interface Plan {
  readonly id: EnvironmentId
  /** The last part of its address: the id, unless an API client named it. */
  readonly server: string
  readonly hub: Configuration['hub']
  /** As browsers see the hub; the environment's own, where environments have host names. */
  readonly origins: Readonly<{ hub: string; environment: string }>
  readonly user: User
  /** As the login provider said. */
  readonly groups: readonly string[]
  readonly choices: Choices
  readonly profile: ProfileConfiguration
  readonly flavour: FlavourConfiguration
  readonly spawner: string
  readonly ownerLimits: OwnerLimits
  /** The spawner's own part, with what was chosen of it. */
  readonly own: unknown
  readonly account: Account
  /** In the order in which they were chosen. */
  readonly proposals: readonly Proposal[]
  /** Those that were chosen of proposals which are not wanted whole. */
  readonly datasets: readonly Dataset[]
  readonly mounts: readonly DerivedMount[]
  /** Whether it gets Kerberos tickets. */
  readonly tickets: boolean
  /** What the user is told. */
  readonly warning?: string
}

export function specOf(plan: Plan): EnvironmentSpec {
  const { id, server, hub, user, choices, profile, account, mounts } = plan
  const spec = {
    id,
    hub: hub.id,
    owner: user.name,
    prefix: `/user/${user.name}/${server}/`,
    account,
    application: applicationOf({ ...plan, name: choices.profile, ...openOf(choices) }),
    ...(profile.image === undefined ? {} : { image: profile.image }),
    ...(profile.protocol === 'jupyterhub' ? { protocol: profile.protocol } : {}),
    resources: resourcesOf(plan.flavour),
    ...(Object.keys(plan.ownerLimits).length === 0 ? {} : { ownerLimits: plan.ownerLimits }),
    variables: { ...profile.variables, ...variablesOf(plan), ...hubVariables(plan) },
    mounts: mounts.map((each) => each.mount),
    ...(plan.tickets ? { tickets: plan.tickets } : {}),
    ...(plan.warning === undefined ? {} : { warning: plan.warning }),
    profile: plan.own,
  }
  return { ...spec, digest: specDigest(spec) }
}

function resourcesOf(flavour: FlavourConfiguration): Resources {
  return {
    cpu: flavour.cpu,
    memoryBytes: flavour.memory,
    gpus: flavour.gpus,
    ...(flavour.gpuType === undefined ? {} : { gpuType: flavour.gpuType }),
    processes: flavour.processes,
    ...(flavour.walltime === undefined ? {} : { walltimeMs: flavour.walltime }),
  }
}

export function rowOf(plan: Plan, spec: EnvironmentSpec, now: Date): NewEnvironment {
  const { choices, profile, user, proposals } = plan
  return {
    id: plan.id,
    user_id: user.id,
    server: plan.server,
    title: choices.title ?? titleOf(profile, proposals),
    spawner: plan.spawner,
    profile: choices.profile,
    flavour: choices.flavour,
    image: profile.image ?? null,
    proposals: JSON.stringify(proposals.map((proposal) => proposal.id)),
    owner_groups: JSON.stringify(plan.groups),
    extensions: '[]',
    spec: JSON.stringify(spec),
    spec_digest: spec.digest,
    choices: JSON.stringify(choices),
    wanted: 'present',
    wanted_at: now.getTime(),
    requested_at: now.getTime(),
    attempts: 0,
    generation: 0,
    ...unknownYet,
  }
}

/** What only the loop will know. Written out, because a table's defaults are not seen by who reads this. */
const unknownYet = {
  wanted_reason: null,
  observation: null,
  observed_at: null,
  action: null,
  action_at: null,
  action_begun_at: null,
  host: null,
  port: null,
  accepted_at: null,
  started_at: null,
  ready_at: null,
  last_activity_at: null,
  ends_at: null,
  ended_at: null,
  end_reason: null,
  end_message: null,
  log_tail: null,
  unentitled: null,
  measured: null,
  packages: null,
} as const

/** For scripts and notebooks inside. Ids hold no comma; folders are joined as PATH is. */
function variablesOf({ id, hub, user, choices, proposals, datasets, mounts }: Plan): Record<string, string> {
  return {
    HUTCH_HUB: hub.id,
    HUTCH_ENVIRONMENT: id,
    HUTCH_USER: user.name,
    HUTCH_PROFILE: choices.profile,
    ...(choices.rescue === undefined ? {} : { HUTCH_RESCUE: '1' }),
    HUTCH_PROPOSALS: proposals.map((proposal) => proposal.id).join(','),
    ...(datasets.length === 0 ? {} : { HUTCH_DATASETS: datasets.map((dataset) => dataset.id).join(',') }),
    HUTCH_DATA: proposals.flatMap((proposal) => proposalFolders(proposal, mounts)).join(':'),
  }
}

/** What a server made for JupyterHub is told. Its token comes another way, its port from its spawner. */
function hubVariables({ profile, user, server, origins, flavour }: Plan): Record<string, string> {
  if (profile.protocol !== 'jupyterhub') return {}
  const name = serverNameOf(server)
  const prefix = `/user/${user.name}/${server}/`
  const access = JSON.stringify([`access:servers!server=${user.name}/${name}`, `access:servers!user=${user.name}`])
  const hasHost = origins.environment !== origins.hub
  const api = `${origins.hub}/hub/api`
  return {
    JUPYTERHUB_CLIENT_ID: clientIdOf(user.name, server),
    JUPYTERHUB_OAUTH_CALLBACK_URL: `${hasHost ? origins.environment : ''}${callbackOf(prefix)}`,
    JUPYTERHUB_OAUTH_SCOPES: access,
    JUPYTERHUB_OAUTH_ACCESS_SCOPES: access,
    JUPYTERHUB_OAUTH_CLIENT_ALLOWED_SCOPES: '[]',
    JUPYTERHUB_HOST: hasHost ? origins.hub : '',
    JUPYTERHUB_USER: user.name,
    JUPYTERHUB_SERVER_NAME: name,
    JUPYTERHUB_API_URL: api,
    JUPYTERHUB_ACTIVITY_URL: `${api}/users/${user.name}/activity`,
    JUPYTERHUB_BASE_URL: '/',
    JUPYTERHUB_SERVICE_PREFIX: prefix,
    JUPYTERHUB_PUBLIC_URL: origins.environment + prefix,
    JUPYTERHUB_PUBLIC_HUB_URL: `${origins.hub}/hub/`,
    JUPYTERHUB_DEFAULT_URL: '/lab',
    CPU_LIMIT: String(flavour.cpu),
    MEM_LIMIT: String(flavour.memory),
  }
}

function titleOf(profile: ProfileConfiguration, proposals: readonly Proposal[]): string {
  const [first] = proposals
  return first === undefined ? profile.title : `${profile.title}, ${first.id}`
}

function openOf({ open, notebook }: Choices): { open?: string; notebook?: string } {
  return { ...(open === undefined ? {} : { open }), ...(notebook === undefined ? {} : { notebook }) }
}
