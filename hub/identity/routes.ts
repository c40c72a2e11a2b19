/** /hub/login…, /hub/logout…: the ways in and out. */
import { bodyParser } from '@koa/bodyparser'
import { Router } from '@koa/router'
import type { Context, Middleware } from 'koa'
import { z } from 'zod'
import type { Audit } from '../audit/index.ts'
import type { Log } from '../../spawners/spawner.ts'
import { isEnvironmentId } from '../../spawners/spawner.ts'
import { Problem } from '../domain/problem.ts'
import type { Visitor } from '../domain/services.ts'
import { LoginFailure } from './failure.ts'
import type { LoginMetrics } from './metrics.ts'
import { safeNext } from './next.ts'
import { type Form, type FormProvider, hasForm } from './forms/form.ts'
import type { LoginPage, RenewedPage, ShownForm } from './pages.ts'
import type { Provider } from './provider.ts'
import { provesAccount, type Providers } from './providers.ts'
import type { Question, SignIn } from './sign-in.ts'
import type { SignOut } from './sign-out.ts'

export interface RoutesOptions {
  readonly providers: Providers
  readonly signIn: SignIn
  readonly signOut: SignOut
  readonly loginPage: LoginPage
  /** Tells the page behind that its login goes on, and closes. */
  readonly renewedPage: RenewedPage
  readonly demo: boolean
  readonly metrics: LoginMetrics
  readonly audit: Pick<Audit, 'note'>
  readonly log: Log
}

export function loginRoutes(options: RoutesOptions): Router {
  const { providers, signIn, signOut } = options
  const { show, showForm, orShow } = loginPages(options)
  const providerOf = (ctx: Named): Provider => providers.get(ctx.params['provider'] ?? '')
  // Harmless when the application parsed the body already.
  const form: Middleware = bodyParser({ enableTypes: ['form'], formLimit: '64kb' })

  const begin = async (ctx: Context, provider: Provider, question: Question): Promise<void> => {
    if (hasForm(provider)) return await showForm(ctx, provider, question)
    await orShow(ctx, provider, (begun) => {
      begun(question.next)
      return signIn.start(ctx, provider, question)
    })
  }
  const start = async (ctx: Named): Promise<void> => {
    const prompt = ctx.query['prompt'] === 'login' ? ({ prompt: 'login' } as const) : {}
    const next = safeNext(ctx.query['next'])
    await begin(ctx, providerOf(ctx), { next, purpose: { for: 'login' }, ...prompt })
  }
  const visitorAt = (ctx: Context): Visitor => {
    const visitor: Visitor | undefined = ctx.state['visitor']
    if (visitor?.by === 'cookie') return visitor
    throw new Problem('notLoggedIn', 'Log in first.')
  }

  /** What the form says it is for is the visitor's own word; whose login it is, is not. */
  const questionOf = (ctx: Context, said: Readonly<Record<string, unknown>>): Question => {
    switch (said['for']) {
      case 'renew':
        return { next: renewedPath, purpose: { for: 'renew', userId: visitorAt(ctx).user.id, silent: false } }
      case 'link':
        return { next: linkedPath, purpose: { for: 'link', userId: visitorAt(ctx).user.id } }
      case undefined:
      default:
        return { next: safeNext(said['next']), purpose: { for: 'login' } }
    }
  }

  const router = new Router()
  router.get('/hub/login', async (ctx) => {
    const next = safeNext(ctx.query['next'])
    const visitor: Visitor | undefined = ctx.state['visitor']
    // Who is blocked may still log in as somebody else.
    if (!visitor || visitor.user.blockedReason !== undefined) return show(ctx, next)
    ctx.redirect(next)
  })
  // In a window in front of the page: what is in the page stays as it is.
  router.get('/hub/login/renew', async (ctx) => {
    const { user, provider = '' } = visitorAt(ctx)
    const purpose = { for: 'renew', userId: user.id, silent: true } as const
    // From within an environment, whose entry ends with the login: it is made anew as well.
    const id = ctx.query['environment']
    const isEnvironment = typeof id === 'string' && isEnvironmentId(id)
    const next = isEnvironment ? `/hub/environments/${id}/renewed` : renewedPath
    await begin(ctx, providers.get(provider), { next, purpose })
  })
  router.get(renewedPath, (ctx) => options.renewedPage(ctx, visitorAt(ctx)))
  // It leads to a page that asks: nothing is linked by coming here.
  router.get('/hub/login/:provider/link', async (ctx) => {
    const { user } = visitorAt(ctx)
    const provider = providerOf(ctx)
    if (provesAccount(provider)) {
      throw new Problem('badRequest', `${provider.title} proves accounts: log in with it, there is nothing to link.`)
    }
    await begin(ctx, provider, { next: linkedPath, purpose: { for: 'link', userId: user.id } })
  })
  router.get('/hub/login/:provider', start)
  router.post('/hub/login/:provider', form, async (ctx) => {
    const provider = providerOf(ctx)
    if (!hasForm(provider)) return await start(ctx)
    const answers = z.record(z.string(), z.unknown()).catch({}).parse(ctx.request.body)
    const question = questionOf(ctx, answers)
    await orShow(
      ctx,
      provider,
      () => signIn.submit(ctx, provider, question, answersTo(provider.form, answers)),
      (problem) => showForm(ctx, provider, question, { typed: textsOf(answers), problem }),
    )
  })
  /** A form sends nobody elsewhere, so nobody comes back from there. */
  const elsewhereOf = (ctx: Named): Provider => {
    const provider = providerOf(ctx)
    if (!hasForm(provider)) return provider
    throw new Problem('notFound', `${provider.title} is asked here, and answers to nothing else. Log in again.`)
  }
  router.get('/hub/login/:provider/callback', async (ctx) => {
    const provider = elsewhereOf(ctx)
    await orShow(ctx, provider, (begun) => signIn.callback(ctx, provider, begun))
  })
  router.post('/hub/login/:provider/backchannel', form, (ctx) => signOut.backchannel(ctx, elsewhereOf(ctx)))
  router.post('/hub/logout', (ctx) => signOut.leave(ctx, false))
  router.post('/hub/logout/everywhere', (ctx) => signOut.leave(ctx, true))
  return router
}

const renewedPath = '/hub/login/renewed'
const linkedPath = '/hub/identities'

interface Failed {
  readonly typed: Readonly<Record<string, string>>
  readonly problem: Problem
}

const longestAnswer = 1_024

const textsOf = (body: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(body).filter((each): each is [string, string] => typeof each[1] === 'string'))

/** @throws Problem 'badRequest' where one is missing or too long; the authenticator is asked nothing then */
function answersTo({ fields }: Form, body: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> {
  return Object.fromEntries(
    fields.map(({ name, title, secret }): [string, string] => {
      const given = body[name]
      const text = typeof given === 'string' ? (secret ? given : given.trim()) : ''
      // Nobody types control characters, and some ways to check a password do not see them.
      if (text !== '' && text.length <= longestAnswer && !/\p{Cc}/u.test(text)) return [name, text]
      const detail = `${title}: write ${text === '' ? 'it' : `at most ${longestAnswer} characters that can be typed`}.`
      throw new Problem('badRequest', detail, { field: name })
    }),
  )
}

type Named = Context & { params: Record<string, string> }

function loginPages({ providers, loginPage, demo, metrics, audit, log }: RoutesOptions) {
  async function show(ctx: Context, next: string, problem?: Problem, form?: ShownForm): Promise<void> {
    ctx.status = problem?.status ?? 200
    ctx.set('Cache-Control', 'no-store')
    if (problem?.retryAfter !== undefined) ctx.set('Retry-After', String(problem.retryAfter))
    await loginPage(ctx, {
      providers: providers.all.map(({ name, title }) => ({ id: name, title })),
      demo,
      next,
      ...(form ? { form } : {}),
      ...(problem ? { error: { title: problem.title, detail: problem.detail } } : {}),
    })
    ctx.status = problem?.status ?? 200
  }

  async function showForm(
    ctx: Context,
    { name, title, form }: FormProvider,
    { next, purpose }: Question,
    failed?: Failed,
  ): Promise<void> {
    const fields = form.fields.map((field) => ({
      ...field,
      value: field.secret ? '' : (failed?.typed[field.name] ?? ''),
    }))
    const action = `/hub/login/${encodeURIComponent(name)}`
    await show(ctx, next, failed?.problem, { action, title, fields, hidden: { next, for: purpose.for } })
  }

  /** A login that fails ends on the login page, with the reason and the ways to try again; or as `again` shows it. */
  async function orShow(
    ctx: Context,
    provider: Provider,
    step: (begun: (next: string) => void) => Promise<void>,
    again = (problem: Problem, next: string): Promise<void> => show(ctx, next, problem),
  ): Promise<void> {
    let next = '/hub/'
    try {
      await step((wanted) => (next = wanted))
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      const reason = error instanceof LoginFailure ? error.reason : error.type
      metrics.refused(provider.name, reason)
      log.warn({ provider: provider.name, reason, err: error.cause, address: ctx.ip }, 'a login was refused')
      // What the limits turn away is counted by the metric alone: it would fill the trail.
      if (error.type !== 'tooManyRequests') {
        audit.note({ who: 'nobody', did: 'login.refused', from: ctx.ip, detail: { provider: provider.name, reason } })
      }
      await again(error, next)
    }
  }

  return { show, showForm, orShow }
}
