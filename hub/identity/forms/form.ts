/** Logins by a form of the hub's own: what is asked, and who the answers say that it is. */
import { z } from 'zod'
import type { Configuration, ProviderConfiguration } from '../../../config/schema.ts'
import { answerOf } from '../../plugins/answer.ts'
import type { Authenticated, AuthenticatorPlugin, LoginField } from '../../plugins/plugin.ts'
import { unreachable } from '../outside.ts'
import type { Provider } from '../provider.ts'

/** Who checks; hub/plugins/plugin.ts has the contract, which the directory keeps too. */
export type Authenticator = AuthenticatorPlugin

export interface Form {
  /** What is asked, the first says who it is. */
  readonly fields: readonly LoginField[]
  /** Undefined: wrong. @throws Problem 'providerUnreachable' when it can't be told */
  check(
    answers: Readonly<Record<string, string>>,
    from: { readonly address: string },
  ): Promise<Authenticated | undefined>
}

/** A login with a form stands among the providers: its people are identities as those of the others are. */
export type FormProvider = Provider & { readonly form: Form }

export function hasForm(provider: Provider): provider is FormProvider {
  return provider.form !== undefined
}

const usualFields: readonly LoginField[] = [
  { name: 'name', title: 'User name', secret: false },
  { name: 'password', title: 'Password', secret: true },
]

const fieldsSchema = z
  .array(
    z.object({
      name: z.string().regex(/^[a-z][a-zA-Z0-9_]{0,31}$/),
      title: z.string().min(1).max(80),
      secret: z.boolean(),
    }),
  )
  .min(1)
  .max(6)

const authenticatedSchema = z.object({
  subject: z.string().min(1).max(255),
  name: z.string().min(1).max(64),
  title: z.string().max(200).optional(),
  email: z.string().max(254).optional(),
  groups: z.array(z.string().max(255)).max(1_000).optional(),
  claims: z.record(z.string(), z.unknown()).optional(),
})

const checkMs = 15_000

export interface FormOptions {
  readonly name: string
  readonly configuration: Configuration['login']['passwords'][string]
  readonly authenticator: Authenticator
  readonly now: () => number
}

/** Throws when the authenticator asks for what can't be asked. */
export function createFormProvider({ name, configuration, authenticator, now }: FormOptions): FormProvider {
  const { title, proves, administrators } = configuration
  // No address: nobody else's tokens can name it.
  const issuer = `urn:hutch:login:${name}`
  const fields = fieldsSchema.parse(authenticator.fields ?? usualFields)
  const away = (): Promise<never> => Promise.reject(unreachable(title, new Error('it is no OpenID Connect provider')))
  const provider: ProviderConfiguration = {
    title,
    issuer,
    clientId: '',
    scopes: [],
    claims: { name: 'name', title: 'title', email: 'email', groups: 'groups', subject: 'subject' },
    administrators,
    proves,
    refresh: Infinity,
  }
  return {
    name,
    title,
    issuer,
    configuration: provider,
    now,
    discover: away,
    ask: away,
    form: {
      fields,
      async check(answers, from) {
        const signal = AbortSignal.timeout(checkMs)
        try {
          const answer: unknown = await answerOf(authenticator.authenticate(answers, signal, from), signal)
          return answer == null ? undefined : readAuthenticated(answer)
        } catch (error) {
          throw unreachable(title, error)
        }
      },
    },
  }
}

function readAuthenticated(answer: unknown): Authenticated {
  const { subject, name, title, email, groups, claims } = authenticatedSchema.parse(answer)
  return {
    subject,
    name,
    ...(title === undefined ? {} : { title }),
    ...(email === undefined ? {} : { email }),
    ...(groups === undefined ? {} : { groups }),
    ...(claims === undefined ? {} : { claims }),
  }
}
