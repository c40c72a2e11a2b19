/** One launch, from an accepted wish to a started container. Each step finds what an earlier try left and goes on. */
import type { MountSettings } from 'dockerode'
import { groupFile, passwdFile } from '../common/accountFiles.ts'
import type { TicketFiles } from '../common/ticketFiles.ts'
import { LaunchRefused, type EnvironmentSpec, type SpawnerContext } from '../spawner.ts'
import { checkChosen } from './chosen.ts'
import { shareLabels, shareOf, type Labelled, type Share } from './claims.ts'
import type { DockerConfig, DockerProfile } from './config.ts'
import type { Engine, Image, Network, Volume } from './engine.ts'
import { createImageAccounts } from './image-accounts.ts'
import { containerName, filesVolume, label, networkName, wishVolume } from './names.ts'
import { pullProgress } from './pull.ts'
import { registryLogin } from './registries.ts'
import { checkSpec, renderContainer, type Placement } from './render.ts'
import { tarOf } from './tar.ts'
import type { Tell } from './tasks.ts'
import { asRefusal, missingImage, pullInWords, said } from './words.ts'

type Spec = EnvironmentSpec<DockerProfile>

/** Resolves when it was started. @throws LaunchRefused when trying again can't help */
export type Launcher = (spec: Spec, tell: Tell, signal: AbortSignal) => Promise<void>

interface Started {
  readonly image: Image
  readonly gateway: string | undefined
  readonly port: number
}

interface Filling extends Omit<Started, 'port'> {
  readonly name: string
  /** Found out while the way to the volume is made. */
  readonly share: Promise<Share>
}

interface Found {
  readonly name: string
  readonly image: Image
  readonly network: Network
  readonly agent: Placement['agent']
}

/** Where the files' volume is seen by the container that only fills it. */
const fillAt = '/hutch-files'
const agentAt = '/agent'

export interface LauncherParts {
  readonly config: DockerConfig
  readonly context: SpawnerContext
  readonly engine: Engine
  /** Absent: there are none in containers. */
  readonly tickets: TicketFiles | undefined
}

export function createLauncher({ config, context, engine, tickets }: LauncherParts): Launcher {
  const { hub } = context
  /** Taken for containers that are not there yet. */
  const shares = new Map<string, Labelled>()
  const [networkTurn, agentTurn, shareTurn] = [createTurn(), createTurn(), createTurn()]
  const accountsOf = createImageAccounts(engine)

  return async (spec, tell, signal) => {
    const name = checkSpec(spec, config)
    try {
      const image = await haveImage(spec, name, tell, signal)
      tell('starting', 'The container is being made')
      const [network, agent, there] = await Promise.all([
        networkTurn(() => haveNetwork(signal)),
        agentTurn(() => haveAgent(tell, signal)),
        engine.inspect(containerName(spec.id), signal),
      ])
      if (there === undefined) await make(spec, { name, image, network, agent }, signal)
      await engine.removeVolume(wishVolume(spec.id), signal)
      await engine.start(containerName(spec.id), signal)
    } catch (error) {
      throw asRefusal(error, { image: name })
    }
  }

  async function haveImage({ profile }: Spec, name: string, tell: Tell, signal: AbortSignal): Promise<Image> {
    const there = await engine.image(name, signal)
    if (there !== undefined && profile.pull !== 'always') return there
    if (profile.pull === 'never') throw new LaunchRefused(missingImage(name))
    await pull(name, tell, signal)
    const pulled = await engine.image(name, signal)
    if (pulled === undefined) throw new LaunchRefused(missingImage(name))
    return pulled
  }

  async function pull(name: string, tell: Tell, signal: AbortSignal): Promise<void> {
    const progress = pullProgress(name)
    tell('pulling', progress.message())
    const login = await registryLogin(config, name)
    const patience = AbortSignal.timeout(config.pullPatience)
    let failed: string | undefined
    try {
      await engine.pull(
        name,
        login,
        (line) => {
          try {
            progress.take(line)
          } catch (error) {
            failed ??= (error as Error).message
          }
          tell('pulling', progress.message())
        },
        AbortSignal.any([signal, patience]),
      )
    } catch (error) {
      if (signal.aborted) throw error
      if (patience.aborted) throw new LaunchRefused(pullInWords(name, 'it took too long'), { cause: error })
      failed ??= said(error)
      if (failed === undefined) throw error
    }
    if (failed !== undefined) throw new LaunchRefused(pullInWords(name, failed))
  }

  async function haveNetwork(signal: AbortSignal): Promise<Network> {
    const name = config.network ?? networkName(hub)
    const [there] = await engine.networks(name, signal)
    if (there !== undefined) return there
    if (config.network !== undefined) {
      throw new LaunchRefused(`Docker has no network ${name}. Ask your administrator to make it.`)
    }
    const options = {
      Name: name,
      Driver: 'bridge',
      EnableIPv6: false,
      Labels: { [label.hub]: hub },
      // No container reaches another; out they get.
      Options: { 'com.docker.network.bridge.enable_icc': 'false' },
    }
    const made = await engine.makeNetwork(options, signal)
    const [first] = await engine.networks(name, signal)
    if (first === undefined) throw new Error(`Docker lost the network ${name}`)
    // Another hub was faster.
    if (first.id !== made) await engine.removeNetwork(made, signal)
    return first
  }

  /** A volume is filled by Docker when it is new and a container is made with it; that one never runs. */
  async function haveAgent(tell: Tell, signal: AbortSignal): Promise<Placement['agent']> {
    const { agent } = config
    if (agent.from === 'folder') return { type: 'bind', source: agent.path }
    if ((await engine.image(agent.image, signal)) === undefined) await pull(agent.image, tell, signal)
    const image = await engine.image(agent.image, signal)
    if (image === undefined) throw new LaunchRefused(missingImage(agent.image))
    const name = `hutch-agent-${image.id.replace(/^sha256:/, '').slice(0, 12)}`
    const [there] = (await engine.volumes([`${label.role}=agent`], signal)).filter((volume) => volume.name === name)
    if (there === undefined) {
      await engine.makeVolume(name, { [label.role]: 'agent' }, signal)
      const helper = await passing(agent.image, [{ Type: 'volume', Source: name, Target: agentAt }], signal)
      await helper.remove()
    }
    return { type: 'volume', source: name }
  }

  /**
   * The agent's bootstrap and the account's entries in front of the image's own. Only its user may read the key.
   * `ready`: what may be done with the volume; the container that was the way to it goes meanwhile.
   */
  async function fillFiles(
    spec: Spec,
    { name, share, ...how }: Filling,
    signal: AbortSignal,
    ready: (volume: Volume) => Promise<void>,
  ): Promise<void> {
    const { account } = spec
    const labels = { [label.hub]: hub, [label.environment]: spec.id, [label.role]: 'files' }
    const volume = await engine.makeVolume(filesVolume(spec.id), labels, signal)
    const helper = await passing(name, [{ Type: 'volume', Source: volume.name, Target: fillAt }], signal)
    try {
      const [{ passwd, group }, { port }] = await Promise.all([
        accountsOf(how.image.id, helper.container, signal),
        share,
      ])
      const all = { mode: 0o444, uid: 0, gid: 0 }
      const own = { mode: 0o400, uid: account.uid, gid: account.gid }
      const archive = tarOf([
        { name: 'passwd', text: passwdFile(passwd, account), ...all },
        { name: 'group', text: groupFile(group, account), ...all },
        { name: 'bootstrap.json', text: JSON.stringify(bootstrapOf(spec, { ...how, port })), ...own },
      ])
      await engine.write(helper.container, fillAt, archive, signal)
    } catch (error) {
      await helper.remove()
      throw error
    }
    // Both to their end: while the way is there, the volume can't be removed.
    for (const one of await Promise.allSettled([ready(volume), helper.remove()])) {
      if (one.status === 'rejected') throw one.reason
    }
  }

  function bootstrapOf(spec: Spec, { image, gateway, port }: Started): object {
    const bootstrap = context.bootstrap(spec)
    const { report, application } = bootstrap
    const isAnywhere = ['0.0.0.0', '::'].includes(report.host) && gateway !== undefined
    const isImages = application.kind !== 'terminal' && application.argv.length === 0
    if (isImages && image.argv.length === 0) {
      throw new LaunchRefused('Neither the profile nor the image says what to start. Ask your administrator for argv.')
    }
    return {
      ...bootstrap,
      ...(isAnywhere && { report: { ...report, host: gateway } }),
      listen: { host: '0.0.0.0', ports: [port, port] },
      ...(isImages && {
        application: {
          ...application,
          argv: image.argv,
          ...(image.directory !== '' && { directory: image.directory }),
        },
      }),
    }
  }

  /** A container that is made, used as a way to its volumes, and removed without having run. */
  async function passing(
    image: string,
    Mounts: MountSettings[],
    signal: AbortSignal,
  ): Promise<Readonly<{ container: string; remove: () => Promise<void> }>> {
    const options = { Image: image, Entrypoint: ['/never'], Labels: { [label.hub]: hub }, HostConfig: { Mounts } }
    const container = await engine.create(undefined, { ...options, NetworkDisabled: true }, signal)
    if (container === false) throw new Error('a bug: a nameless container has a name')
    // Also when the launch was called off.
    return { container, remove: () => engine.remove(container, AbortSignal.timeout(10_000)) }
  }

  async function giveTickets(spec: Spec, signal: AbortSignal): Promise<void> {
    if (spec.tickets !== true) return
    if (tickets === undefined || context.tickets === undefined) {
      throw new LaunchRefused('Its data want a Kerberos ticket, and there are none on Docker. Ask your administrator.')
    }
    await tickets.write(spec.id, spec.account, await context.tickets(spec, signal))
  }

  async function make(spec: Spec, { name, image, network, agent }: Found, signal: AbortSignal): Promise<void> {
    await checkChosen(spec.mounts, config, async (roots, look) => {
      const helper = await passing(name, roots, signal)
      try {
        await look((path) => engine.entry(helper.container, path, signal))
      } finally {
        await helper.remove()
      }
    })
    const share = shareTurn(async () => {
      const others = await engine.containers([label.environment], signal)
      const mine = shareOf(config, spec.resources, [...others, ...shares.values()])
      shares.set(spec.id, { status: 'wanted', labels: shareLabels(mine) })
      return mine
    })
    // Its refusal is heard where it is waited for.
    share.catch(() => undefined)
    try {
      await fillFiles(spec, { name, image, share, gateway: network.gateway }, signal, async (files) => {
        const [wish] = await engine.volumes([`${label.environment}=${spec.id}`, `${label.role}=wish`], signal)
        // Removed meanwhile, by whichever hub.
        if (wish === undefined) {
          throw new LaunchRefused('It was stopped before it started.', { reason: 'cancelled' })
        }
        await giveTickets(spec, signal)
        const place = { network: network.id, agent, files: files.folder, ...(await share) }
        await engine.create(containerName(spec.id), renderContainer(spec, config, place), signal)
      })
    } catch (error) {
      // Whoever removed it may have been here before its files were.
      if (error instanceof LaunchRefused && error.reason === 'cancelled') {
        await engine.removeVolume(filesVolume(spec.id), AbortSignal.timeout(10_000))
      }
      throw error
    } finally {
      await share.catch(() => undefined)
      shares.delete(spec.id)
    }
  }
}

/** What must not be taken twice is taken one after another. */
function createTurn(): <T>(work: () => Promise<T>) => Promise<T> {
  let turn: Promise<unknown> = Promise.resolve()
  return (work) => {
    const mine = turn.then(work)
    turn = mine.catch(() => undefined)
    return mine
  }
}
