/** /users/{name}/server and /users/{name}/servers/{server}: environments, as JupyterHub calls them. */
import type { Context } from 'koa'
import { z } from 'zod'
import type { ScopeName } from '../../../config/scopes.ts'
import type { Choices, Environment } from '../../domain/environment.ts'
import { Problem } from '../../domain/problem.ts'
import type { Person } from '../../identity/people.ts'
import { serverOf } from '../../roles/server-name.ts'
import { answerDeadlineMs } from '../api.ts'
import { pendingOf, serverModel, serverModelSchema } from './models.ts'
import { type Operation, operation } from './operation.ts'
import { followProgress } from './progress.ts'
import { actorFor, nothingThere, requesterOf } from './requester.ts'
import { type ApiTools, modelOptions, ownerFor, serverOfPerson } from './tools.ts'

/** JupyterHub's body is the options themselves, or an object that holds them. */
const startSchema = z.record(z.string(), z.unknown())

const removeSchema = z.object({ remove: z.boolean().default(false) })

const renameSchema = z.strictObject({ display_name: z.string().min(1).max(120) })

const accepted = { 202: { description: 'It is being started', schema: null } } as const

export function serverOperations(tools: ApiTools): readonly Operation[] {
  return [...operationsAt(tools, '/users/{name}/server'), ...operationsAt(tools, '/users/{name}/servers/{server}')]
}

function operationsAt(tools: ApiTools, path: string): readonly Operation[] {
  const { environments } = tools
  const what = path.endsWith('server') ? 'the default server' : 'a named server'

  async function find(ctx: Context, params: Readonly<Record<string, string>>, scopes: readonly ScopeName[]) {
    const { name = '', server = '' } = params
    const owner = await ownerFor(tools, ctx, name, server, scopes)
    return { owner, server, environment: await serverOfPerson(tools, owner, server) }
  }

  const read = operation({
    method: 'GET',
    path,
    summary: `Reads ${what}`,
    scopes: ['read:servers'],
    answers: { 200: { description: 'The server', schema: serverModelSchema } },
    async handle({ ctx, params }) {
      const { owner, environment } = await find(ctx, params, ['read:servers'])
      if (environment === undefined) throw nothingThere()
      return { status: 200, body: serverModel(environment, owner, modelOptions(tools, requesterOf(ctx).permissions)) }
    },
  })

  const start = operation({
    method: 'POST',
    path,
    summary: `Starts ${what}`,
    scopes: ['start:servers'],
    body: startSchema,
    answers: accepted,
    async handle({ ctx, params, body }) {
      const { owner, server, environment } = await find(ctx, params, ['start:servers'])
      if (environment !== undefined && pendingOf(environment) === 'spawn') return { status: 202 }
      if (environment !== undefined && pendingOf(environment) === 'stop') {
        throw new Problem('badRequest', `${owner.name}/${server} is being stopped. Wait until it has ended.`)
      }
      if (environment !== undefined && environment.state.is !== 'ended') {
        throw new Problem('badRequest', `${owner.name}/${server} is already running.`)
      }
      const made = await launch(ctx, owner, server, body, environment)
      ctx.state['environmentId'] = made.id
      return { status: 202 }
    },
  })

  /** Without a choice: what ran there before, else the first that is offered. */
  async function launch(
    ctx: Context,
    person: Person,
    server: string,
    body: z.output<typeof startSchema>,
    before: Environment | undefined,
  ): Promise<Environment> {
    const asked = actorFor(ctx)
    const visitor = { user: userOf(person), groups: person.groups, by: 'token' as const, login: asked.token ?? '' }
    const { display_name: title, user_options } = body
    const isWrapped = 'user_options' in body || 'display_name' in body
    const options = isWrapped ? (user_options ?? {}) : body
    const chosen = { ...options, ...(typeof title === 'string' ? { title } : {}) } as Partial<Choices>
    const given = Object.keys(chosen).length === 0 ? before?.choices : undefined
    const choices = given ?? { ...(await firstOffer(visitor, chosen)), ...chosen }
    return await tools.launches.launch(visitor, choices, AbortSignal.timeout(answerDeadlineMs), {
      server: serverOf(server),
      asked,
    })
  }

  async function firstOffer(
    visitor: Parameters<typeof tools.launches.offers>[0],
    chosen: Partial<Choices>,
  ): Promise<Choices> {
    const offers = await tools.launches.offers(visitor)
    const offer = offers.find((each) => chosen.profile === undefined || each.profile === chosen.profile)
    const flavour = offer?.flavours[0]?.name
    if (offer === undefined || flavour === undefined) {
      throw new Problem('badRequest', 'There is no such profile for this user. Name one of theirs.', {
        field: 'profile',
      })
    }
    return { profile: offer.profile, flavour, proposals: [] }
  }

  const change = operation({
    method: 'PATCH',
    path,
    summary: `Changes the title of ${what}`,
    scopes: ['start:servers'],
    body: renameSchema,
    answers: { 200: { description: 'The server', schema: serverModelSchema } },
    async handle({ ctx, params, body }) {
      const { owner, environment } = await find(ctx, params, ['start:servers'])
      if (environment === undefined) throw nothingThere()
      await environments.rename(environment.id, body.display_name)
      const changed = (await environments.get(environment.id)) ?? environment
      return { status: 200, body: serverModel(changed, owner, modelOptions(tools, requesterOf(ctx).permissions)) }
    },
  })

  const stop = operation({
    method: 'DELETE',
    path,
    summary: `Stops ${what}; with {"remove": true} it is also taken off the lists`,
    did: 'environment.stopped',
    scopes: ['delete:servers'],
    body: removeSchema,
    answers: {
      202: { description: 'It is being stopped', schema: null },
      204: { description: 'It has ended', schema: null },
    },
    async handle({ ctx, params, body: { remove } }) {
      const { owner, server, environment } = await find(ctx, params, ['delete:servers'])
      if (environment === undefined) {
        if (server !== '') throw new Problem('notFound', `${owner.name} has no server ${server.slice(0, 64)}.`)
        return { status: 204 }
      }
      ctx.state['environmentId'] = environment.id
      if (environment.state.is === 'ended') {
        if (remove) await environments.forget(environment.id)
        return { status: 204 }
      }
      if (environment.state.is !== 'stopping') await environments.stop(environment.id, 'cancelled')
      if (remove) forgetWhenEnded(tools, environment)
      return { status: 202 }
    },
  })

  const progress = operation({
    method: 'GET',
    path: `${path}/progress`,
    summary: `Follows the start of ${what}`,
    scopes: ['read:servers'],
    answers: {
      200: {
        description: 'Server-sent events: {progress, message}, the last one {ready, url} or {failed, message}',
        schema: z.string(),
        type: 'text/event-stream',
      },
    },
    async handle({ ctx, params }) {
      const { owner, environment } = await find(ctx, params, ['read:servers'])
      if (environment === undefined) throw nothingThere()
      followProgress(ctx, tools, owner.id, environment)
      return undefined
    },
  })

  return [read, start, change, stop, progress]
}

function userOf({ id, name, title, email, admin, blockedReason }: Person) {
  return {
    id,
    name,
    title,
    admin,
    ...(email === undefined ? {} : { email }),
    ...(blockedReason === undefined ? {} : { blockedReason }),
  }
}

const forgetWithinMs = 600_000

/** If the hub ends meanwhile, it stays on the list of what has ended: nothing is lost by that. */
function forgetWhenEnded({ environments, log }: ApiTools, { id, userId }: Environment): void {
  const timer = setTimeout(() => unsubscribe(), forgetWithinMs)
  timer.unref()
  const look = async (): Promise<void> => {
    const now = await environments.get(id)
    if (now !== undefined && now.state.is !== 'ended') return
    unsubscribe()
    clearTimeout(timer)
    if (now !== undefined) await environments.forget(id)
  }
  const unsubscribe = environments.subscribe(userId, (changed) => {
    if (changed === id)
      look().catch((error: unknown) => log.warn({ environment: id, err: error }, 'it could not be forgotten'))
  })
}
