/** What the proxy says itself: a small page for people, a problem (RFC 9457) for programs. */
import { isNavigation } from './admission/origin.ts'
import type { Request } from './forward/request.ts'
import type { Answer } from './http/answer.ts'
import { joined } from './http/head.ts'

const problems = {
  badRequest: { status: 400, title: 'This request is not understood' },
  notEntered: { status: 401, title: 'Open this environment from the hub first' },
  notYours: { status: 403, title: 'This environment is not open to you' },
  forbidden: { status: 403, title: 'This is not allowed' },
  foreignOrigin: { status: 403, title: 'The request came from another site' },
  notFound: { status: 404, title: 'There is nothing here' },
  unknownHost: { status: 421, title: 'This address is not served here' },
  garbled: { status: 502, title: 'The environment gave an answer that makes no sense' },
  hubUnreachable: { status: 503, title: 'The hub does not answer just now' },
  environmentUnreachable: { status: 503, title: 'This environment does not answer just now' },
  busy: { status: 503, title: 'There are too many requests at once' },
  timeout: { status: 504, title: 'The answer took too long' },
} as const

export type ProxyProblem = keyof typeof problems

export interface Link {
  readonly text: string
  readonly href: string
}

/** A page for whoever navigates, JSON or plain text for programs: by what the request accepts. */
export function problemAnswer(request: Request, type: ProxyProblem, detail: string, link?: Link): Answer {
  const { status, title } = problems[type]
  const fields: [string, string][] = [
    ['Cache-Control', 'no-store'],
    ['X-Content-Type-Options', 'nosniff'],
  ]
  if (status === 503) fields.push(['Retry-After', '5'])
  const accept = joined(request.head, 'accept') ?? ''
  if (!isNavigation(request) && !accept.startsWith('text/html')) {
    const isPlain = /^text\/plain\b/.test(accept)
    fields.push(['Content-Type', isPlain ? 'text/plain; charset=utf-8' : 'application/problem+json'])
    return { status, fields, body: isPlain ? `${title}. ${detail}\n` : JSON.stringify({ type, title, status, detail }) }
  }
  fields.push(
    ['Content-Type', 'text/html; charset=utf-8'],
    ['Content-Security-Policy', "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'"],
  )
  return { status, fields, body: page({ title, detail, id: request.id, link }) }
}

function page(options: { title: string; detail: string; id: string; link: Link | undefined }): string {
  const { link } = options
  const title = escaped(options.title)
  const action = link === undefined ? '' : `<p><a href="${escaped(link.href)}">${escaped(link.text)}</a></p>`
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>
${style}
</style>
<main>
<h1>${title}</h1>
<p>${escaped(options.detail)}</p>
${action}
<p class="fine">Request ${escaped(options.id)}</p>
</main>
</html>
`
}

/** The hub's colours: the page must stand without the hub. */
const style = `:root { color-scheme: light dark; --paper: #f6f5f1; --card: #fff; --ink: #1d2426; --soft: #566064;
  --line: #dddbd2; --accent: #0c6b5e; --on-accent: #fff; font: 1rem/1.5 system-ui, sans-serif }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14181a; --card: #1c2224; --ink: #e8ebea; --soft: #a3adaf; --line: #30383a; --accent: #63c9b5; --on-accent: #06231e }
}
body { margin: 0; padding: 12vh 1rem 2rem; background: var(--paper); color: var(--ink) }
main { max-width: 34rem; margin: 0 auto; padding: 1.75rem 2rem; box-sizing: border-box; background: var(--card);
  border: 1px solid var(--line); border-radius: 12px; overflow-wrap: anywhere }
h1 { margin: 0 0 .75rem; font-size: 1.375rem; line-height: 1.3; font-weight: 650 }
p { margin: 0 0 1rem }
p:last-child { margin: 0 }
a { display: inline-block; padding: .55rem 1.1rem; border-radius: 8px; background: var(--accent); color: var(--on-accent);
  font-weight: 600; text-decoration: none }
a:focus-visible { outline: 3px solid var(--ink); outline-offset: 2px }
.fine { color: var(--soft); font-size: .875rem; margin-bottom: .25rem }
@media (max-width: 30rem) { body { padding-top: 1rem } main { padding: 1.25rem } }`

function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;')
}
