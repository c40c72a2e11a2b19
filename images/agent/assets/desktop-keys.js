/* Text and keys between this computer and the desktop, where browsers keep something for themselves. */

const keysyms = {
  backspace: 0xff08,
  tab: 0xff09,
  enter: 0xff0d,
  escape: 0xff1b,
  print: 0xff61,
  del: 0xffff,
  f4: 0xffc1,
  ctrl: 0xffe3,
  meta: 0xffe7,
  alt: 0xffe9,
  superKey: 0xffeb,
}
const modifiers = {
  Ctrl: [keysyms.ctrl, 'ControlLeft'],
  Alt: [keysyms.alt, 'AltLeft'],
  Super: [keysyms.superKey, 'MetaLeft'],
}
const combinations = [
  ['Esc', [], [keysyms.escape, 'Escape']],
  ['Tab', [], [keysyms.tab, 'Tab']],
  ['Super', [], [keysyms.superKey, 'MetaLeft']],
  ['Alt + Tab', ['Alt'], [keysyms.tab, 'Tab']],
  ['Alt + F4', ['Alt'], [keysyms.f4, 'F4']],
  ['Print', [], [keysyms.print, 'PrintScreen']],
  ['Ctrl + W', ['Ctrl'], [0x77, 'KeyW']],
  ['Ctrl + T', ['Ctrl'], [0x74, 'KeyT']],
  ['Ctrl + Alt + Del', ['Ctrl', 'Alt'], [keysyms.del, 'Delete']],
]
/** As much as the desktop takes. */
const longestText = 256 * 1024
/** A paste event follows its key, however busy the machine is, or there is nothing to paste. */
const pasteMs = 1_000

const element = (id) => document.getElementById(id)

/** Text from the desktop goes to this computer's clipboard; text from here goes there when somebody pastes. */
export function createClipboard({ current, mayAct, toast }) {
  const field = element('clip')
  let waiting

  element('clip-send').addEventListener('click', () => {
    if (send(field.value)) toast('It is in the desktop’s clipboard.')
  })
  element('clip-copy').addEventListener('click', () => void copy(field.value, true))
  // Before noVNC, which would keep the browser from pasting.
  addEventListener('keydown', onKey, true)
  addEventListener('paste', onPaste, true)

  return {
    arrived(text) {
      field.value = text
      void copy(text, false)
    },
  }

  function onKey(event) {
    const isMac = /Mac|iP/.test(navigator.platform)
    const isPaste =
      (event.code === 'KeyV' && (isMac ? event.metaKey : event.ctrlKey) && !event.altKey) ||
      (event.code === 'Insert' && event.shiftKey && !event.ctrlKey)
    if (!isPaste || !mayAct() || !element('screen').contains(event.target)) return
    event.stopImmediatePropagation()
    if (event.repeat) return event.preventDefault()
    const { shiftKey, code } = event
    const press = () => {
      clearTimeout(waiting?.timer)
      waiting = undefined
      if (code === 'Insert') return current()?.sendKey(0xff63, 'Insert')
      if (isMac) releaseMeta(current())
      if (isMac) current()?.sendKey(...modifiers.Ctrl, true)
      current()?.sendKey(shiftKey ? 0x56 : 0x76, 'KeyV')
      if (isMac) current()?.sendKey(...modifiers.Ctrl, false)
    }
    waiting = { press, timer: setTimeout(press, pasteMs) }
  }

  function onPaste(event) {
    if (waiting === undefined) return
    event.preventDefault()
    const text = event.clipboardData?.getData('text/plain') ?? ''
    if (text !== '') send(text)
    waiting.press()
  }

  function send(text) {
    if (!mayAct()) return false
    if (text.length > longestText) {
      toast('This text is too long for the clipboard: upload it as a file.')
      return false
    }
    field.value = text
    current().clipboardPasteFrom(text)
    return true
  }

  async function copy(text, isAsked) {
    try {
      await navigator.clipboard.writeText(text)
      if (isAsked) toast('It is in this computer’s clipboard.')
    } catch {
      if (isAsked) copyByHand(text)
      else toast('Copied in the desktop.', 'Copy to this computer', () => void copy(text, true))
    }
  }

  /** Without HTTPS browsers have no other way. */
  function copyByHand(text) {
    field.value = text
    element('clipboard').hidden = false
    field.focus()
    field.select()
    const isDone = document.execCommand('copy')
    if (isDone) toast('It is in this computer’s clipboard.')
    else toast('Your browser does not allow it: press Ctrl+C now.')
  }
}

function releaseMeta(rfb) {
  for (const keysym of [keysyms.meta, keysyms.superKey, keysyms.alt]) rfb?.sendKey(keysym, 'MetaLeft', false)
}

/** The panel of keys, and the keyboard of phones and tablets. */
export function createKeys({ current, mayAct }) {
  const held = new Set()

  element('combinations').append(...combinations.map(([label, with_, key]) => button(label, () => press(with_, key))))
  element('holds').append(
    ...Object.keys(modifiers).map((name) => {
      const toggle = button(name, () => hold(name, toggle))
      toggle.setAttribute('aria-pressed', 'false')
      return toggle
    }),
  )
  if (matchMedia('(pointer: coarse)').matches) {
    element('combinations').prepend(button('Keyboard', () => element('touch').focus()))
  }
  wireTouch(element('touch'))

  return {
    /** The connection is gone, and with it what was held. */
    released() {
      held.clear()
      for (const toggle of element('holds').children) toggle.setAttribute('aria-pressed', 'false')
    },
  }

  function button(label, action) {
    const made = document.createElement('button')
    made.type = 'button'
    made.textContent = label
    made.addEventListener('click', action)
    return made
  }

  function press(names, key) {
    if (!mayAct()) return
    for (const name of names) current().sendKey(...modifiers[name], true)
    current().sendKey(...key)
    for (const name of names.toReversed()) current().sendKey(...modifiers[name], false)
    current().focus()
  }

  function hold(name, toggle) {
    if (!mayAct()) return
    const isDown = !held.has(name)
    if (isDown) held.add(name)
    else held.delete(name)
    current().sendKey(...modifiers[name], isDown)
    toggle.setAttribute('aria-pressed', String(isDown))
    current().focus()
  }

  /** Their keyboards give text, not keys. */
  function wireTouch(field) {
    const special = {
      insertLineBreak: [keysyms.enter, 'Enter'],
      deleteContentBackward: [keysyms.backspace, 'Backspace'],
    }
    field.addEventListener('beforeinput', (event) => {
      if (!mayAct() || event.isComposing) return
      const key = special[event.inputType]
      if (key) current().sendKey(...key)
      type(event.data)
      event.preventDefault()
    })
    field.addEventListener('compositionend', (event) => {
      type(event.data)
      field.value = ''
    })
  }

  function type(text) {
    for (const character of text ?? '') current()?.sendKey(keysymOf(character), null)
  }
}

/** Latin-1 is its own; everything else has its number in Unicode above a mark. */
function keysymOf(character) {
  const point = character.codePointAt(0)
  const isLatin = (point >= 0x20 && point <= 0x7e) || (point >= 0xa0 && point <= 0xff)
  return isLatin ? point : 0x01000000 + point
}
