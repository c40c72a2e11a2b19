/** What identity shows by itself. The hub's web part puts its own login page in the place of the plain one. */
import type { Context } from 'koa'
import type { Visitor } from '../domain/services.ts'

interface LoginPageData {
  /** `id` for /hub/login/{id}?next=…, `title` for the button. Links, not forms: a form may not lead to another site. */
  readonly providers: readonly Readonly<{ id: string; title: string }>[]
  /** Whether the provider `demo` is among them: the page must say that it is a demo. */
  readonly demo: boolean
  /** Where the login leads, already checked; to be given on as ?next=. */
  readonly next: string
  /** A form of the hub's own is to be filled in. */
  readonly form?: ShownForm
  /** Why the last try did not succeed. */
  readonly error?: Readonly<{ title: string; detail: string }>
}

export interface ShownForm {
  /** Where it is posted to. */
  readonly action: string
  readonly title: string
  /** What was typed before, never of secret ones. */
  readonly fields: readonly Readonly<{ name: string; title: string; secret: boolean; value: string }>[]
  /** Hidden: what it is for, and where it leads. */
  readonly hidden: Readonly<Record<string, string>>
}

/** Sets type and body; the status is set already. */
export type LoginPage = (ctx: Context, data: LoginPageData) => void | Promise<void>

/** Sets type and body. */
export type RenewedPage = (ctx: Context, visitor: Visitor) => void

export const plainRenewedPage: RenewedPage = (ctx) =>
  page(ctx, 'You are still logged in', ['<p>Close this window.</p>'])

export const plainLoginPage =
  (title: string): LoginPage =>
  (ctx, { providers, demo, next, form, error }) => {
    if (form !== undefined) return plainForm(ctx, form, error)
    const links = providers.map(
      ({ id, title }) =>
        `<li><a href="/hub/login/${encodeURIComponent(id)}?next=${encodeURIComponent(next)}">${escapeHtml(title)}</a></li>`,
    )
    page(ctx, `Log in to ${title}`, [
      error ? `<p role="alert"><strong>${escapeHtml(error.title)}.</strong> ${escapeHtml(error.detail)}</p>` : '',
      demo ? '<p>This is a demo.</p>' : '',
      links.length > 0 ? `<ul>${links.join('')}</ul>` : '<p>No login service is configured.</p>',
    ])
  }

function plainForm(ctx: Context, { action, title, fields, hidden }: ShownForm, error?: LoginPageData['error']): void {
  const input = (name: string, type: string, value: string): string =>
    `<input name="${escapeHtml(name)}" type="${type}" value="${escapeHtml(value)}">`
  page(ctx, title, [
    error ? `<p role="alert"><strong>${escapeHtml(error.title)}.</strong> ${escapeHtml(error.detail)}</p>` : '',
    `<form method="post" action="${escapeHtml(action)}">`,
    ...Object.entries(hidden).map(([name, value]) => input(name, 'hidden', value)),
    ...fields.map(
      ({ name, title, secret, value }) =>
        `<label>${escapeHtml(title)} ${input(name, secret ? 'password' : 'text', value)}</label>`,
    ),
    '<button>Log in</button></form>',
  ])
}

/**
 * After a logout, on to the provider. A page that leads on, not a redirect: the logout is a form, and form-action
 * lets its answer lead to this origin alone.
 */
export function leavePage(ctx: Context, provider: string, url: URL): void {
  // The address has the provider's own token in it.
  ctx.set('Referrer-Policy', 'no-referrer')
  ctx.set('Cache-Control', 'no-store')
  page(
    ctx,
    'You are logged out here',
    [`<p><a href="${escapeHtml(url.href)}">Log out at ${escapeHtml(provider)} too</a></p>`],
    `<meta http-equiv="refresh" content="0; url=${escapeHtml(url.href)}">`,
  )
}

function page(ctx: Context, title: string, parts: readonly string[], head = ''): void {
  ctx.type = 'text/html; charset=utf-8'
  ctx.body = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${escapeHtml(title)}</title>
<meta name="viewport" content="width=device-width">${head}</head><body><main><h1>${escapeHtml(title)}</h1>
${parts.join('\n')}</main></body></html>`
}

export function escapeHtml(text: string): string {
  const entities: Readonly<Record<string, string>> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
    "'": '&#39;',
  }
  return text.replaceAll(/[&<>"']/g, (character) => entities[character] ?? character)
}
