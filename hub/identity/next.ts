/** Where a login may lead: below /hub/ or /user/ of this origin, and nowhere else. */
const longestNext = 1_024

/** The safe, normalised path with query and fragment; `fallback` when it is anything else. */
export function safeNext(text: unknown, fallback = '/hub/'): string {
  if (typeof text !== 'string' || text.length > longestNext || !/^\/(?:hub|user)\//.test(text)) return fallback
  // Browsers read a backslash as a slash and drop tabs and line ends: neither belongs in a path of ours.
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  if (/[\\\u0000-\u0020\u007f]/.test(text)) return fallback
  const url = URL.parse(text, 'http://hub.invalid')
  if (url?.host !== 'hub.invalid' || !/^\/(?:hub|user)\//.test(url.pathname) || url.pathname.includes('//'))
    return fallback
  // Back to the login itself would go round in circles.
  if (/^\/hub\/log(?:in|out)(?:\/|$)/.test(url.pathname)) return fallback
  return url.pathname + url.search + url.hash
}
