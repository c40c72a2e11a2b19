/** The demo provider's own pages: plain, light and dark, and plainly marked as a demo. */
import { createHash } from 'node:crypto'
import type { Context } from 'koa'
import { escapeHtml } from '../pages.ts'

export interface SignInPage {
  readonly action: string
  readonly names: readonly string[]
  readonly name?: string
  readonly error?: string
}

export function signInPage(ctx: Context, { action, names, name = '', error }: SignInPage): void {
  const alert = error === undefined ? '' : `<p id="error" class="error" role="alert">${escapeHtml(error)}</p>`
  const described = error === undefined ? '' : ' aria-describedby="error" aria-invalid="true"'
  show(
    ctx,
    'Log in as a demo person',
    `${alert}
<form method="post" action="${escapeHtml(action)}">
  <label for="name">User name</label>
  <input id="name" name="name" list="names" value="${escapeHtml(name)}" autocomplete="username" autocapitalize="none"
    spellcheck="false" required maxlength="64"${name === '' ? ' autofocus' : ''}${described}>
  <datalist id="names">${names.map((one) => `<option value="${escapeHtml(one)}"></option>`).join('')}</datalist>
  <label for="password">Password</label>
  <input id="password" name="password" type="password" autocomplete="current-password" required
    maxlength="200"${name === '' ? '' : ' autofocus'}${described}>
  <button>Log in</button>
</form>
<p class="hint">The people are ${escapeHtml(names.join(', '))}. Their passwords were printed when the hub started, and stand in
<code>demo-people.json</code> in its state folder.</p>`,
  )
}

export function logoutPage(ctx: Context, form: string): void {
  show(
    ctx,
    'Log out of the demo',
    `<p>You are logged out of the hub. Here you can end the demo login as well.</p>
${form}
<button form="op.logoutForm" name="logout" value="yes" autofocus>Log out here too</button>
<button form="op.logoutForm" class="quiet">Stay logged in here</button>`,
  )
}

export function problemPage(ctx: Context, detail: string): void {
  show(
    ctx,
    'This did not work',
    `<p role="alert">${escapeHtml(detail)}</p><p><a href="/hub/login">Back to the login page</a></p>`,
  )
}

const style = `
:root { color-scheme: light dark; --ground: #f4f5f7; --card: #fff; --ink: #1c2430; --soft: #556070; --line: #8993a3;
  --accent: #14568c; --on-accent: #fff; --mark: #fff3d6; --mark-ink: #5c4300; --alarm: #a11b1b }
@media (prefers-color-scheme: dark) { :root { --ground: #14181e; --card: #1d232b; --ink: #e8ebf0; --soft: #a9b3c1;
  --line: #6f7a8a; --accent: #8cc4f5; --on-accent: #0c1b29; --mark: #3d3215; --mark-ink: #ffe3a0; --alarm: #ff9d9d } }
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem; background: var(--ground);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif }
main { width: 100%; max-width: 24rem; padding: 2rem; background: var(--card); border-radius: .75rem }
h1 { margin: 0 0 1rem; font-size: 1.375rem; line-height: 1.25 }
.demo { margin: 0 0 1.25rem; padding: .5rem .75rem; border-radius: .5rem; background: var(--mark); color: var(--mark-ink) }
label { display: block; margin: 1rem 0 .25rem; font-weight: 600 }
input { width: 100%; padding: .625rem .75rem; border: 1px solid var(--line); border-radius: .5rem; background: var(--card);
  color: inherit; font: inherit }
button { width: 100%; margin-top: 1.5rem; padding: .625rem .75rem; border: 1px solid var(--accent); border-radius: .5rem;
  background: var(--accent); color: var(--on-accent); font: inherit; font-weight: 600; cursor: pointer }
button.quiet { margin-top: .75rem; background: transparent; color: var(--accent) }
a { color: var(--accent) }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px }
.error { margin: 0; color: var(--alarm); font-weight: 600 }
.hint { margin: 1.5rem 0 0; color: var(--soft); font-size: .9375rem; overflow-wrap: anywhere }
`
const styleHash = createHash('sha256').update(style).digest('base64')

function show(ctx: Context, title: string, content: string): void {
  ctx.set({
    'Cache-Control': 'no-store',
    'Content-Security-Policy': `default-src 'none'; style-src 'sha256-${styleHash}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'`,
    'X-Frame-Options': 'DENY',
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'same-origin',
  })
  ctx.type = 'text/html; charset=utf-8'
  ctx.body = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>${style}</style>
</head>
<body>
<main>
<h1>${escapeHtml(title)}</h1>
<p class="demo">This is a demo: three invented accounts on this machine, for trying Hutch out.</p>
${content}
</main>
</body>
</html>
`
}
