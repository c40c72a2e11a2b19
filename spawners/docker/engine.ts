/** Docker as a few calls and plain values. Thin: every call has a deadline, every answer a limit. */
import type Dockerode from 'dockerode'
import { createCall } from './call.ts'
import { firstFile } from './tar.ts'
import type { PullLine } from './pull.ts'
import { timeOf, type State } from './read.ts'
import type { RegistryLogin } from './registries.ts'
import { isStatus, said } from './words.ts'

export interface ListedContainer {
  readonly id: string
  readonly status: string
  readonly labels: Readonly<Record<string, string>>
  readonly addresses: readonly string[]
}

export interface Volume {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  /** On Docker's machine. */
  readonly folder: string
}

export interface Engine {
  about(signal: AbortSignal): Promise<{ version: string; keepsContainers: boolean }>
  containers(labels: readonly string[], signal: AbortSignal): Promise<readonly ListedContainer[]>
  volumes(labels: readonly string[], signal: AbortSignal): Promise<readonly Volume[]>
  /** Undefined: it is not there. */
  inspect(container: string, signal: AbortSignal): Promise<Inspected | undefined>
  /** False: there is one of this name. */
  create(
    name: string | undefined,
    options: Dockerode.ContainerCreateOptions,
    signal: AbortSignal,
  ): Promise<string | false>
  start(container: string, signal: AbortSignal): Promise<void>
  /** What does not run, or is not there, is no error. */
  terminate(container: string, signal: AbortSignal): Promise<void>
  remove(container: string, signal: AbortSignal): Promise<void>
  /** Of what it printed, the last `bytes`. */
  logs(container: string, bytes: number, signal: AbortSignal): Promise<string>
  /** A small text file; undefined: it is not there. */
  read(container: string, path: string, signal: AbortSignal): Promise<string | undefined>
  /** Of a path in a container, its last part no further; undefined: it is not there. */
  entry(container: string, path: string, signal: AbortSignal): Promise<'folder' | 'link' | 'other' | undefined>
  write(container: string, folder: string, archive: Buffer, signal: AbortSignal): Promise<void>
  makeVolume(name: string, labels: Record<string, string>, signal: AbortSignal): Promise<Volume>
  removeVolume(name: string, signal: AbortSignal): Promise<void>
  /** Those of this name, the oldest first. */
  networks(name: string, signal: AbortSignal): Promise<readonly Network[]>
  makeNetwork(options: Dockerode.NetworkCreateOptions, signal: AbortSignal): Promise<string>
  removeNetwork(id: string, signal: AbortSignal): Promise<void>
  /** Undefined: it is not there. */
  image(name: string, signal: AbortSignal): Promise<Image | undefined>
  pull(
    image: string,
    login: RegistryLogin | undefined,
    onLine: (line: PullLine) => void,
    signal: AbortSignal,
  ): Promise<void>
  /** Calls for each event of containers with these labels, until the connection ends. */
  events(
    labels: readonly string[],
    onEvent: (labels: Readonly<Record<string, string>>, action: string) => void,
    signal: AbortSignal,
  ): Promise<void>
}

interface Inspected {
  readonly id: string
  readonly labels: Readonly<Record<string, string>>
  readonly state: State
}

export interface Network {
  readonly id: string
  readonly gateway: string | undefined
}

export interface Image {
  readonly id: string
  /** The image's own command, with its entry point. */
  readonly argv: readonly string[]
  readonly directory: string
}

const longestFile = 1024 * 1024
/** Docker keeps two megabytes of it (render.ts). */
const longestLog = 4 * 1024 * 1024
const lastLines = 5_000

export function createEngine(docker: Dockerode): Engine {
  const call = createCall(docker)
  const filters = (labels: readonly string[], more: object = {}): { filters: string } => ({
    filters: JSON.stringify({ label: labels, ...more }),
  })

  return {
    async about(signal) {
      const { ServerVersion, LiveRestoreEnabled } = (await call.answer({ path: '/info', signal })) as Record<
        string,
        unknown
      >
      return { version: String(ServerVersion), keepsContainers: LiveRestoreEnabled === true }
    },
    async containers(labels, signal) {
      const query = { all: true, ...filters(labels) }
      const listed = (await call.answer({ path: '/containers/json', query, signal })) as Dockerode.ContainerInfo[]
      return listed.map(({ Id, State: status, Labels, NetworkSettings }) => ({
        id: Id,
        status,
        labels: Labels ?? {},
        addresses: Object.values(NetworkSettings?.Networks ?? {})
          .flatMap(({ IPAddress, GlobalIPv6Address }) => [IPAddress, GlobalIPv6Address])
          .filter((address) => typeof address === 'string' && address !== ''),
      }))
    },
    async volumes(labels, signal) {
      const answer = await call.answer({ path: '/volumes', query: filters(labels), signal })
      const { Volumes } = answer as { Volumes: Dockerode.VolumeInspectInfo[] | null }
      return (Volumes ?? []).map(volumeOf)
    },
    async inspect(container, signal) {
      const found = await orNone(call.answer({ path: `/containers/${container}/json`, signal }))
      if (found === undefined) return undefined
      const { Id, Config, State: state } = found as Dockerode.ContainerInspectInfo
      return { id: Id, labels: Config.Labels ?? {}, state: stateOf(state) }
    },
    async create(name, body, signal) {
      const query = name === undefined ? {} : { name }
      try {
        const made = await call.answer({ method: 'POST', path: '/containers/create', query, body, signal })
        return (made as { Id: string }).Id
      } catch (error) {
        if (isStatus(error, 409) && /is already in use/.test(said(error) ?? '')) return false
        throw error
      }
    },
    async start(container, signal) {
      await call.answer({ method: 'POST', path: `/containers/${container}/start`, signal })
    },
    async terminate(container, signal) {
      const query = { signal: 'SIGTERM' }
      await unless([404, 409], call.answer({ method: 'POST', path: `/containers/${container}/kill`, query, signal }))
    },
    async remove(container, signal) {
      const query = { force: true, v: true }
      // 409: it is being removed.
      await unless([404, 409], call.answer({ method: 'DELETE', path: `/containers/${container}`, query, signal }))
    },
    async logs(container, bytes, signal) {
      const query = { stdout: true, stderr: true, tail: lastLines }
      const path = `/containers/${container}/logs`
      const framed = await orNone(call.bytes({ path, query, signal }, longestLog))
      return framed === undefined ? '' : unframed(framed).subarray(-bytes).toString('utf8')
    },
    async read(container, path, signal) {
      const request = { path: `/containers/${container}/archive`, query: { path }, signal }
      const archive = await orNone(call.bytes(request, longestFile))
      return archive && firstFile(archive)
    },
    async entry(container, path, signal) {
      const request = { path: `/containers/${container}/archive`, query: { path }, signal }
      const said = (await orNone(call.headers(request)))?.['x-docker-container-path-stat']
      return typeof said === 'string' ? entryOf(said) : undefined
    },
    async write(container, folder, body, signal) {
      const query = { path: folder }
      await call.answer({ method: 'PUT', path: `/containers/${container}/archive`, query, body, signal })
    },
    async makeVolume(name, labels, signal) {
      const body = { Name: name, Driver: 'local', Labels: labels }
      return volumeOf((await call.answer({ method: 'POST', path: '/volumes/create', body, signal })) as never)
    },
    async removeVolume(name, signal) {
      await unless([404], call.answer({ method: 'DELETE', path: `/volumes/${name}`, query: { force: true }, signal }))
    },
    async networks(name, signal) {
      const query = { filters: JSON.stringify({ name: [`^${name}$`] }) }
      const listed = (await call.answer({ path: '/networks', query, signal })) as Dockerode.NetworkInspectInfo[]
      const named = listed.filter(({ Name }) => Name === name)
      // Docker lets two of one name be made at the same time; all take the first.
      const inOrder = named.toSorted((a, b) => (a.Created + a.Id < b.Created + b.Id ? -1 : 1))
      return inOrder.map(({ Id, IPAM }) => ({
        id: Id,
        gateway: (IPAM?.Config ?? []).map(({ Gateway }) => Gateway).find((each) => each !== undefined),
      }))
    },
    async makeNetwork(body, signal) {
      const made = await call.answer({ method: 'POST', path: '/networks/create', body, signal })
      return (made as { Id: string }).Id
    },
    async removeNetwork(id, signal) {
      await unless([404], call.answer({ method: 'DELETE', path: `/networks/${id}`, signal }))
    },
    async image(name, signal) {
      const found = await orNone(call.answer({ path: `/images/${name}/json`, signal }))
      if (found === undefined) return undefined
      const { Id, Config } = found as Dockerode.ImageInspectInfo
      const { Entrypoint, Cmd, WorkingDir } = Config
      return { id: Id, argv: [Entrypoint ?? [], Cmd ?? []].flat(), directory: WorkingDir ?? '' }
    },
    async pull(image, login, onLine, signal) {
      // Without a tag Docker would fetch all of them.
      const fromImage = /[:@][^/]*$/.test(image) ? image : `${image}:latest`
      await call.lines({ method: 'POST', path: '/images/create', query: { fromImage }, login, signal }, onLine)
    },
    async events(labels, onEvent, signal) {
      const query = filters(labels, { type: ['container'] })
      await call.lines({ path: '/events', query, signal }, (line) => {
        const { Action, Actor } = line as { Action?: string; Actor?: { Attributes?: Record<string, string> } }
        onEvent(Actor?.Attributes ?? {}, Action ?? '')
      })
    },
  }
}

/** Undefined for what is not there. */
async function orNone<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer
  } catch (error) {
    if (isStatus(error, 404)) return undefined
    throw error
  }
}

async function unless(statuses: readonly number[], answer: Promise<unknown>): Promise<void> {
  try {
    await answer
  } catch (error) {
    if (!isStatus(error, ...statuses)) throw error
  }
}

/** As Go writes a file's mode: the highest bit is a folder's, the fifth a link's. */
function entryOf(said: string): 'folder' | 'link' | 'other' {
  const { mode } = JSON.parse(Buffer.from(said, 'base64').toString()) as { mode: number }
  if (mode >= 2 ** 31) return 'folder'
  return Math.floor(mode / 2 ** 27) % 2 === 1 ? 'link' : 'other'
}

function volumeOf({ Name, Labels, Mountpoint }: Dockerode.VolumeInspectInfo): Volume {
  return { name: Name, labels: Labels ?? {}, folder: Mountpoint }
}

function stateOf(state: Dockerode.ContainerInspectInfo['State']): State {
  return {
    status: state.Status,
    startedAt: timeOf(state.StartedAt),
    finishedAt: timeOf(state.FinishedAt),
    exitCode: state.ExitCode,
    outOfMemory: state.OOMKilled,
    error: state.Error,
  }
}

/** Output comes in frames: a byte that says which stream, three zeros, the length, the content. */
function unframed(framed: Buffer): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; at + 8 <= framed.length;) {
    const end = at + 8 + framed.readUInt32BE(at + 4)
    parts.push(framed.subarray(at + 8, end))
    at = end
  }
  return Buffer.concat(parts)
}
