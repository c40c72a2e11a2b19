/** The rule that everything here goes through: another person's environment does not exist. */
import type { Context } from 'koa'
import type { Configuration } from '../../config/schema.ts'
import type { Environment } from '../domain/environment.ts'
import { Problem } from '../domain/problem.ts'
import type { Environments, Visitor } from '../domain/services.ts'
import { actorOf } from '../audit/entry.ts'
import type { Audit } from '../audit/index.ts'
import { type EnvironmentView, environmentView, type ViewContext } from '../web/environment-view.ts'
import { parseEnvironmentId } from './input.ts'
import { visitorOf } from './visitor.ts'

export interface OwnEnvironments {
  /** @throws Problem 'notFound' when there is none or it is somebody else's: the two can't be told apart. */
  get(ctx: Context, id: string | undefined): Promise<Environment>
  /** As its owner wants it, and the audit trail says so. */
  stop(ctx: Context, id: string | undefined): Promise<Environment>
  /** Live ones first, newest first; ended ones as long as the configuration keeps them. */
  list(visitor: Visitor): Promise<readonly Environment[]>
  readonly view: (environment: Environment) => EnvironmentView
}

/** Live and ended ones together, on one page and in one answer. */
const mostListed = 200

export function ownEnvironments(options: {
  environments: Environments
  audit: Pick<Audit, 'write'>
  /** What limits say of this one's time, and by how much it can be made longer. */
  boundsOf: (environment: Environment) => Pick<ViewContext, 'idleMs' | 'longestMs' | 'extension'>
  configuration: Configuration
  publicUrl: URL
  now: () => Date
}): OwnEnvironments {
  const { environments, boundsOf, audit, configuration, publicUrl, now } = options

  const self: OwnEnvironments = {
    async get(ctx, text) {
      const visitor = visitorOf(ctx)
      const id = parseEnvironmentId(text)
      const environment = await environments.get(id)
      if (environment?.userId !== visitor.user.id) {
        throw new Problem('notFound', 'There is no environment of yours with this name. Look on your home page.')
      }
      ctx.state['environmentId'] = id
      return environment
    },
    async stop(ctx, text) {
      const { id } = await self.get(ctx, text)
      await environments.stop(id, 'cancelled')
      await audit.write({ ...actorOf(visitorOf(ctx)), did: 'environment.stopped', what: id })
      return await self.get(ctx, id)
    },
    list(visitor) {
      const endedSince = new Date(now().getTime() - configuration.environments.keepEnded)
      return environments.list(visitor.user.id, { endedSince, limit: mostListed })
    },
    view(environment) {
      return environmentView(environment, {
        configuration,
        publicUrl,
        usage: environments.usage(environment.id),
        ...boundsOf(environment),
        queued: environments.queued(environment),
      })
    },
  }
  return self
}
