/**
 * The tables, as Kysely sees them; the same on SQLite and PostgreSQL. Portable on purpose: times are integers
 * (ms since the epoch), yes/no is 0 or 1, structures are JSON text.
 */
import type { Generated, Insertable, Selectable } from 'kysely'
import type { RequestTables } from './migrations/requests.ts'
import type { LifetimeColumns, PackageColumns, PackageTables } from './migrations/lifetimes.ts'
import type { QuotaColumns, QuotaTables } from './migrations/quota.ts'
import type { SharingTables } from './migrations/sharing.ts'

export interface Tables extends PackageTables, QuotaTables, RequestTables, SharingTables {
  users: UsersTable
  identities: IdentitiesTable
  logins: LoginsTable
  tokens: TokensTable
  oauth_codes: OAuthCodesTable
  groups: GroupsTable
  group_members: GroupMembersTable
  role_members: RoleMembersTable
  environments: EnvironmentsTable
  revocations: RevocationsTable
  leases: LeasesTable
  link_requests: LinkRequestsTable
  logout_tokens: LogoutTokensTable
  audit: AuditTable
  audit_gate: AuditGateTable
  meta: MetaTable
  claims: ClaimsTable
  accounts_seen: AccountsSeenTable
}

interface UsersTable {
  id: string
  /** Unique, URL-safe: [a-z][a-z0-9._-]{0,63}. Also the default account name. */
  name: string
  title: string
  email: string | null
  admin: number
  blocked_reason: string | null
  created_at: number
  last_activity_at: number | null
}

/** What a user's account was when it was first seen; `missing_since`: its source has had none since then. */
interface AccountsSeenTable {
  user_id: string
  uid: number
  first_seen_at: number
  missing_since: number | null
}

interface IdentitiesTable {
  issuer: string
  subject: string
  user_id: string
  /** JSON: the claims of the last login. */
  claims: string
  linked_at: number
  /** How: 'login' (the provider proves the account), 'proof' (logged in at both), 'administrator', 'match'. */
  linked_by: Generated<string>
  /** The EAAHash of the first UmbrellaID, for the record. */
  legacy_hash: string | null
}

/** Identities that are linked to nobody yet and wait for an administrator. */
interface LinkRequestsTable {
  issuer: string
  subject: string
  /** Random; in URLs. */
  id: string
  title: string
  name: string | null
  email: string | null
  legacy_hash: string | null
  note: string
  /** 'asked' | 'refused' */
  state: string
  reason: string | null
  address: string
  asked_at: number
  expires_at: number
}

/** Logout tokens that were taken: each ends something once. */
interface LogoutTokensTable {
  issuer: string
  jti: string
  until: number
}

interface LoginsTable {
  /** Public id: in tickets, entries, revocations and lists. */
  id: string
  /** sha256 (base64url) of what the hub's cookie holds; the cookie's value itself is never stored. */
  secret_hash: string
  user_id: string
  issuer: string
  subject: string
  /** The provider's own session, for back-channel logout. */
  sid: string | null
  created_at: number
  seen_at: number
  expires_at: number
  revoked_at: number | null
  user_agent: string
  address: string
  /** The provider's `sub`, which logout tokens name; `subject` is what somebody is known again by. */
  provider_subject: string | null
  /** The last time that the provider said so: the login began then, or was renewed. */
  authenticated_at: Generated<number>
  /** Sealed (hub/identity/seal.ts). */
  id_token: string | null
  refresh_token: string | null
  /** When entitlement was last asked for again. */
  refreshed_at: number | null
  /** The refresh token's own end, as the provider said; null: it said none. */
  refresh_by: number | null
  /** A hub is at it until then. */
  refreshing_until: number | null
}

interface TokensTable {
  id: string
  secret_hash: string
  user_id: string
  /** JSON array of scope strings. */
  scopes: string
  note: string
  created_at: number
  expires_at: number | null
  last_used_at: number | null
  revoked_at: number | null
  /** 'api': its owner made it. 'oauth': an environment or a service got it for them. */
  kind: string
  /** Of 'oauth': jupyterhub-user-ada-lab, service-culler. */
  client_id: string | null
  /** Of 'oauth': the jupyterhub-session-id and the login by which it was given; it ends with that login. */
  session_id: string | null
  login: string | null
}

interface OAuthCodesTable {
  code_hash: string
  client_id: string
  user_id: string
  login: string
  session_id: string
  redirect_uri: string
  /** S256; null: the client sent none. */
  challenge: string | null
  /** JSON array of scope strings. */
  scopes: string
  expires_at: number
  used_at: number | null
}

interface GroupsTable {
  name: string
  /** JSON object. */
  properties: string
  created_at: number
}

interface GroupMembersTable {
  group_name: string
  user_id: string
}

interface RoleMembersTable {
  role: string
  /** 'user' | 'group' */
  kind: string
  /** A name. */
  member: string
}

interface EnvironmentsTable extends QuotaColumns, LifetimeColumns, PackageColumns {
  id: string
  user_id: string
  /** The last part of its URL: /user/{name}/{server}/. The id, unless an API client named it. */
  server: string
  title: string
  spawner: string
  profile: string
  flavour: string
  image: string | null
  /** JSON array of proposal ids. */
  proposals: string
  /** JSON: EnvironmentSpec. */
  spec: string
  spec_digest: string
  /** JSON: what the user chose, for "launch again". */
  choices: string

  /** 'present' | 'absent' */
  wanted: string
  wanted_at: number
  /** Why absent is wanted, an EndReason: 'cancelled', 'timeLimit', 'idle', 'startTimeout' … */
  wanted_reason: string | null

  /** JSON: the last Observation, or null before the first. */
  observation: string | null
  observed_at: number | null
  /** When the last ensure or remove was answered by the backend; null: not yet, or its answer was lost. */
  action_at: number | null
  /** The last action begun: 'ensure' | 'remove' | null. */
  action: string | null
  action_begun_at: number | null
  attempts: number

  /** The agent's reported port and the host that the backend observed; both null until known. */
  host: string | null
  port: number | null
  generation: number
  /** JSON: what the agent last claimed of its application, {application, message?}; for pages alone. */
  claim: string | null
  /** Since when its agent does not answer; null: it does, or there never was one. */
  unreachable_since: number | null

  requested_at: number
  accepted_at: number | null
  started_at: number | null
  ready_at: number | null
  last_activity_at: number | null
  /** When the backend or the quota will end it; null: no end of its own. */
  ends_at: number | null
  ended_at: number | null
  end_reason: string | null
  end_message: string | null
  log_tail: string | null
}

interface RevocationsTable {
  kind: string
  subject: string
  at: number
  until: number
}

interface LeasesTable {
  /** The spawner's name. */
  name: string
  holder: string
  epoch: number
  expires_at: number
}

/** Append-only: triggers refuse changes (hub/audit/gate.ts). */
export interface AuditTable {
  id: Generated<number>
  at: number
  /** A user's name, 'hub', 'nobody' or 'service:…'. */
  who: string
  who_id: string | null
  did: string
  whom: string | null
  whom_id: string | null
  what: string | null
  address: string | null
  login: string | null
  token: string | null
  /** JSON object. */
  detail: string
}

interface AuditGateTable {
  /** '' but within a transaction that retention or pseudonymisation runs in. */
  open_for: string
}

/** A start of an environment that was given its key: there is one row at most for each. */
interface ClaimsTable {
  environment_id: string
  /** As the backend says it. */
  started_at: number
  claimed_at: number
  address: string
}

interface MetaTable {
  key: string
  value: string
}

export type UserRow = Selectable<UsersTable>
export type LoginRow = Selectable<LoginsTable>
export type TokenRow = Selectable<TokensTable>
export type EnvironmentRow = Selectable<EnvironmentsTable>
export type NewEnvironment = Insertable<EnvironmentsTable>
