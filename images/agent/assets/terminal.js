/* The terminal page: tabs of xterm.js, each on a WebSocket of its own that comes back by itself. */
/* global Terminal, FitAddon */
'use strict'
;(() => {
  const themes = {
    light: {
      background: '#ffffff',
      foreground: '#1f2328',
      cursor: '#1f2328',
      cursorAccent: '#ffffff',
      selectionBackground: '#b6d7ff',
      black: '#24292f',
      red: '#b3261e',
      green: '#116329',
      yellow: '#7a5200',
      blue: '#0b57b0',
      magenta: '#7a3fc0',
      cyan: '#0b6a75',
      white: '#57606a',
      brightBlack: '#57606a',
      brightRed: '#a40e26',
      brightGreen: '#1a7f37',
      brightYellow: '#633c01',
      brightBlue: '#0969da',
      brightMagenta: '#8250df',
      brightCyan: '#1b7c83',
      brightWhite: '#32383f',
    },
    dark: {
      background: '#14171c',
      foreground: '#e3e6ea',
      cursor: '#e3e6ea',
      cursorAccent: '#14171c',
      selectionBackground: '#2f4f7a',
      black: '#4a525c',
      red: '#ff7b72',
      green: '#5fcf75',
      yellow: '#e3b341',
      blue: '#79b8ff',
      magenta: '#d2a8ff',
      cyan: '#56d4dd',
      white: '#c9d1d9',
      brightBlack: '#8b949e',
      brightRed: '#ffa198',
      brightGreen: '#7ee787',
      brightYellow: '#f2cc60',
      brightBlue: '#a5d6ff',
      brightMagenta: '#e2c5ff',
      brightCyan: '#b3f0ff',
      brightWhite: '#ffffff',
    },
  }
  const closed = { stopping: 1001, replaced: 4000, gone: 4404, tooMany: 4429, failed: 4500 }
  const kept = 'hutch-terminals'
  const inputPiece = 16 * 1024
  const mostEarly = 256

  const dark = matchMedia('(prefers-color-scheme: dark)')
  const element = (id) => document.getElementById(id)
  const tabs = []
  let current

  dark.addEventListener('change', () => {
    for (const tab of tabs) tab.terminal.options.theme = theme()
  })
  element('new').addEventListener('click', () => select(openTab()))
  element('tabs').addEventListener('keydown', moveAmongTabs)
  addEventListener('online', () => tabs.forEach((tab) => tab.hurry()))
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) tabs.forEach((tab) => tab.hurry())
  })
  new ResizeObserver(() => current?.fit()).observe(element('screens'))
  void begin()

  function theme() {
    return dark.matches ? themes.dark : themes.light
  }

  /** The terminals of this tab before its reload; otherwise those that nobody looks at; otherwise a new one. */
  async function begin() {
    const there = await fetch('sessions', { credentials: 'same-origin' })
      .then((answer) => (answer.ok ? answer.json() : []))
      .catch(() => [])
    const remembered = readKept().filter((id) => there.length === 0 || there.some((each) => each.id === id))
    const unwatched = there.filter((each) => !each.isWatched).map((each) => each.id)
    const wanted = remembered.length > 0 ? remembered : unwatched
    for (const id of wanted) openTab(id)
    select(tabs[0] ?? openTab())
  }

  function readKept() {
    try {
      const list = JSON.parse(sessionStorage.getItem(kept) ?? '[]')
      return Array.isArray(list) ? list.filter((id) => typeof id === 'string') : []
    } catch {
      return []
    }
  }

  function keep() {
    try {
      sessionStorage.setItem(kept, JSON.stringify(tabs.flatMap(({ session }) => session ?? [])))
    } catch {
      // Without storage a reload finds the terminals by the list.
    }
  }

  function openTab(session) {
    const tab = createTab(session)
    tabs.push(tab)
    tab.connect()
    return tab
  }

  function select(tab) {
    current = tab
    for (const each of tabs) each.show(each === tab)
    showStatus()
  }

  function remove(tab) {
    const index = tabs.indexOf(tab)
    if (index === -1) return
    tabs.splice(index, 1)
    tab.dispose()
    keep()
    if (current === tab) select(tabs[Math.min(index, tabs.length - 1)] ?? openTab())
  }

  function moveAmongTabs(event) {
    const index = tabs.findIndex(({ button }) => button === event.target)
    if (index === -1) return
    const target = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: tabs.length - 1 }[event.key]
    if (event.key === 'Delete') tabs[index].close()
    else if (target === undefined) return
    else {
      const tab = tabs[(target + tabs.length) % tabs.length]
      select(tab)
      tab.button.focus()
    }
    event.preventDefault()
  }

  function showStatus() {
    const { status } = current ?? {}
    const bar = element('status')
    bar.hidden = status === undefined
    bar.textContent = status?.text ?? ''
    if (status?.action) {
      const button = document.createElement('button')
      button.type = 'button'
      button.textContent = status.label
      button.addEventListener('click', () => {
        current.terminal.focus()
        status.action()
      })
      bar.append(button)
    }
    current?.fit()
  }

  function createTab(known) {
    const terminal = new Terminal({
      allowProposedApi: false,
      cursorBlink: true,
      fontFamily: 'ui-monospace, "SF Mono", "Cascadia Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace',
      fontSize: 14,
      scrollback: 10_000,
      minimumContrastRatio: 4.5,
      rightClickSelectsWord: true,
      theme: theme(),
    })
    const fitter = new FitAddon.FitAddon()
    terminal.loadAddon(fitter)
    const screen = document.createElement('div')
    const { holder, button, closer } = createHandle()
    const encoder = new TextEncoder()
    let socket
    let offset = 0
    let attempts = 0
    let timer
    let isAttached = false
    /** What is typed while the connection is being made. */
    let early = []
    let isEnded = false
    /** The environment said that it is being stopped; until it is back, that is why nothing answers. */
    let isStopping = false
    let isDisposed = false

    screen.className = 'screen'
    screen.id = `screen-${crypto.randomUUID ? crypto.randomUUID() : Math.random().toString(36).slice(2)}`
    screen.setAttribute('role', 'tabpanel')
    button.setAttribute('aria-controls', screen.id)
    element('screens').append(screen)
    terminal.open(screen)

    const tab = {
      session: known,
      button,
      terminal,
      status: undefined,
      connect,
      close,
      fit,
      show,
      dispose,
      hurry() {
        if (timer !== undefined) connect()
      },
    }

    button.addEventListener('click', () => select(tab))
    closer.addEventListener('click', () => close())
    terminal.attachCustomKeyEventHandler(onKey)
    terminal.onData((text) => send(encoder.encode(text)))
    terminal.onBinary((text) => send(Uint8Array.from(text, (character) => character.charCodeAt(0))))
    terminal.onResize(({ cols, rows }) => tell({ type: 'resize', columns: cols, rows }))
    terminal.onTitleChange((title) => name(title))
    return tab

    function onKey(event) {
      if (event.type !== 'keydown' || !event.ctrlKey || !event.shiftKey) return true
      if (event.code === 'Period') {
        // Tab belongs to the shell, so there is another way out for who uses no mouse.
        button.focus()
      } else if (event.code === 'KeyC' && terminal.hasSelection()) {
        void navigator.clipboard?.writeText(terminal.getSelection())
      } else if (event.code === 'KeyV') {
        // The browser pastes by itself when the terminal does not take the key.
        return false
      } else return true
      event.preventDefault()
      return false
    }

    function connect() {
      clearTimeout(timer)
      timer = undefined
      fit()
      const query = new URLSearchParams({ columns: terminal.cols, rows: terminal.rows })
      if (tab.session !== undefined) {
        query.set('session', tab.session)
        query.set('offset', offset)
      }
      const address = new URL(`ws?${query}`, location.href)
      address.protocol = address.protocol.replace('http', 'ws')
      const mine = new WebSocket(address)
      socket = mine
      isAttached = false
      mine.binaryType = 'arraybuffer'
      mine.onmessage = ({ data }) => (typeof data === 'string' ? obey(JSON.parse(data)) : print(data))
      mine.onclose = ({ code }) => {
        if (socket !== mine || isDisposed) return
        socket = undefined
        isAttached = false
        early = []
        lost(code)
      }
    }

    function obey(message) {
      if (message.type === 'attached') {
        attempts = 0
        isStopping = false
        say(undefined)
        tab.session = message.session
        keep()
        // What was missed continues what is there; if too much was, all that is still kept comes again.
        if (message.start !== offset) terminal.reset()
        offset = message.start
        tell({ type: 'resize', columns: terminal.cols, rows: terminal.rows })
        isAttached = true
        for (const bytes of early.splice(0)) send(bytes)
      } else if (message.type === 'ended') {
        isEnded = true
        ended(message)
      }
    }

    function print(data) {
      const mine = socket
      offset += data.byteLength
      terminal.write(new Uint8Array(data), () => {
        if (socket === mine) tell({ type: 'ack', bytes: data.byteLength })
      })
    }

    function send(bytes) {
      if (isEnded) return restart()
      if (socket === undefined) return
      if (!isAttached) {
        if (early.length < mostEarly) early.push(bytes)
        return
      }
      for (let at = 0; at < bytes.length; at += inputPiece) socket.send(bytes.subarray(at, at + inputPiece))
    }

    function tell(message) {
      if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message))
    }

    function ended({ code, signal }) {
      const how = signal ? ` (signal ${signal})` : code ? ` (code ${code})` : ''
      line(`The shell has ended${how}. Press any key for a new one.`)
      forget()
    }

    function lost(code) {
      if (isEnded) return
      if (code === closed.replaced) {
        say({ text: 'This terminal is open in another window.', label: 'Use it here', action: connect })
      } else if (code === closed.gone) {
        isEnded = true
        line('This shell has ended. Press any key for a new one.')
        forget()
      } else if (code === closed.tooMany) {
        say({ text: 'There are too many terminals: close one first.', label: 'Try again', action: connect })
      } else if (code === closed.failed) {
        say({ text: 'No shell could be started.', label: 'Try again', action: connect })
      } else {
        isStopping ||= code === closed.stopping
        void retry()
      }
    }

    async function retry() {
      attempts += 1
      const ms = Math.min(10_000, 250 * 2 ** Math.min(attempts, 6)) * (0.75 + Math.random() / 2)
      const text = isStopping ? 'This environment was stopped.' : 'The connection is lost. Connecting again…'
      say({ text, label: isStopping ? 'Try again' : 'Now', action: connect })
      timer = setTimeout(connect, ms)
      if (attempts < 3 && !isStopping) return
      const why = await whyShutOut()
      if (why !== undefined && socket?.readyState !== WebSocket.OPEN) {
        say({ text: why, label: 'Load the page again', action: () => location.reload() })
      }
    }

    /** A refused WebSocket does not say why: the page itself does. Undefined: nobody answers, or all is well. */
    async function whyShutOut() {
      const answer = await fetch(location.href, { redirect: 'manual', cache: 'no-store' }).catch(() => undefined)
      if (answer === undefined) return undefined
      if (answer.status === 404) return 'This environment has ended.'
      const isOut = answer.type === 'opaqueredirect' || [401, 403].includes(answer.status)
      return isOut ? 'You are no longer let in here.' : undefined
    }

    function restart() {
      isEnded = false
      offset = 0
      terminal.write('\r\n')
      connect()
    }

    function forget() {
      tab.session = undefined
      keep()
    }

    function line(text) {
      // An editor that was killed leaves its screen behind.
      terminal.write('', () => {
        const leave = terminal.buffer.active.type === 'alternate' ? '\u001b[?1049l' : ''
        terminal.write(`${leave}\r\n\u001b[0;2m${text}\u001b[0m\r\n`)
      })
    }

    function say(status) {
      tab.status = status
      if (current === tab) showStatus()
    }

    function name(title) {
      const text = title.trim().slice(0, 60)
      button.textContent = text === '' ? 'shell' : text
      button.title = text
    }

    function fit() {
      if (!screen.hidden && screen.clientHeight > 0) fitter.fit()
    }

    function show(isShown) {
      screen.hidden = !isShown
      button.setAttribute('aria-selected', String(isShown))
      button.tabIndex = isShown ? 0 : -1
      if (!isShown) return
      fit()
      terminal.focus()
      holder.scrollIntoView({ block: 'nearest', inline: 'nearest' })
    }

    function close() {
      tell({ type: 'close' })
      remove(tab)
    }

    function dispose() {
      isDisposed = true
      clearTimeout(timer)
      socket?.close()
      terminal.dispose()
      screen.remove()
      holder.remove()
    }
  }

  function createHandle() {
    const holder = document.createElement('div')
    const button = document.createElement('button')
    const closer = document.createElement('button')
    holder.className = 'tab'
    holder.setAttribute('role', 'presentation')
    button.type = 'button'
    button.setAttribute('role', 'tab')
    button.textContent = 'shell'
    closer.type = 'button'
    closer.className = 'close'
    closer.textContent = '×'
    closer.tabIndex = -1
    closer.setAttribute('aria-label', 'Close this terminal')
    holder.append(button, closer)
    element('tabs').append(holder)
    return { holder, button, closer }
  }
})()
