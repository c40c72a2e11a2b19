/** What the proxy says itself: a small page for people, a problem (RFC 9457) for programs. */
import { isNavigation } from './admission/origin.ts'
import type { Request } from './forward/request.ts'
import type { Answer } from './http/answer.ts'
import { joined } from './http/head.ts'

const problems = {
  badRequest: { status: 400, title: 'This request is not understood' },
  notEntered: { status: 401, title: 'Open this environment from the hub first' },
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

export function problemAnswer(request: Request, type: ProxyProblem, detail: string, link?: Link): Answer {
  const { status, title } = problems[type]
  const fields: [string, string][] = [
    ['Cache-Control', 'no-store'],
    ['X-Content-Type-Options', 'nosniff'],
  ]
  if (status === 503) fields.push(['Retry-After', '5'])
  const wantsPage = isNavigation(request) || (joined(request.head, 'accept') ?? '').startsWith('text/html')
  if (!wantsPage) {
    fields.push(['Content-Type', 'application/problem+json'])
    return { status, fields, body: JSON.stringify({ type, title, status, detail }) }
  }
  fields.push(
    ['Content-Type', 'text/html; charset=utf-8'],
    ['Content-Security-Policy', "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'"],
  )
  return { status, fields, body: page(title, detail, request.id, link) }
}

function page(title: string, detail: string, id: string, link: Link | undefined): string {
  const action = link === undefined ? '' : `<p><a href="${escaped(link.href)}">${escaped(link.text)}</a></p>`
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title>
<style>
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
body { max-width: 36rem; margin: 15vh auto 0; padding: 0 1.5rem }
h1 { font-size: 1.4rem; font-weight: 600 }
a { display: inline-block; padding: .5rem 1rem; border: 1px solid; border-radius: .4rem; text-decoration: none; color: inherit }
small { opacity: .7 }
</style>
<main>
<h1>${escaped(title)}</h1>
<p>${escaped(detail)}</p>
${action}
<p><small>Request ${escaped(id)}</small></p>
</main>
</html>
`
}

function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;')
}
