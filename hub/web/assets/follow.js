// Follows a stream of server-sent events while the page can be seen. A hidden page holds no connection: browsers
// allow only six of them to one host, and a person may have many tabs.

export function follow(url, handlers) {
  let source
  const open = () => {
    if (source || document.hidden) return
    source = new EventSource(url)
    for (const [name, handle] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => handle(JSON.parse(event.data)))
    }
    source.addEventListener('logout', () => {
      close()
      location.reload()
    })
    // So many pages of this person are open that a newer one took the place: until somebody turns to this one again.
    source.addEventListener('replaced', close)
    source.addEventListener('error', () => {
      // Refused, and not tried again by the browser: the login is over, or it is too much just now.
      if (source?.readyState !== EventSource.CLOSED) return
      close()
      void fetch(url, { method: 'HEAD' }).then(
        ({ status }) => {
          if (status === 401 || status === 404) location.reload()
          else setTimeout(open, 10_000)
        },
        () => setTimeout(open, 10_000),
      )
    })
  }
  const close = () => {
    source?.close()
    source = undefined
  }
  document.addEventListener('visibilitychange', () => (document.hidden ? close() : open()))
  addEventListener('focus', open)
  addEventListener('pagehide', close)
  addEventListener('pageshow', open)
  open()
}
