/* Files between this computer and the desktop's folders: a list, downloads, uploads with progress. */

const element = (id) => document.getElementById(id)

export function createFilesPanel({ mayAct, toast }, open) {
  let folder
  let roots = []

  element('root').addEventListener('change', ({ target }) => void go(target.value))
  element('choose').addEventListener('change', ({ target }) => {
    for (const file of target.files) void upload(file)
    target.value = ''
  })
  wireDrop()
  return {
    opened() {
      void go(folder ?? '')
    },
  }

  async function go(path) {
    const answer = await fetch(`folder?${new URLSearchParams({ path })}`).catch(() => undefined)
    const body = await answer?.json().catch(() => undefined)
    if (!answer?.ok) return note(body?.detail ?? 'The folder could not be read: try again.')
    note(body.isCut ? 'There are more files: only the first 2,000 are shown.' : '')
    folder = body.path
    roots = body.roots
    showPlace()
    element('entries').replaceChildren(...body.entries.map(itemOf))
    if (body.entries.length === 0) note('This folder is empty.')
  }

  function showPlace() {
    const root = rootOf(folder)
    element('root').replaceChildren(
      ...roots.map(({ name, path }) => new Option(name, path, false, path === root?.path)),
    )
    element('root').hidden = roots.length < 2
    const base = root?.path ?? ''
    const parts = folder.slice(base.length).split('/').filter(Boolean)
    const crumbs = [[root?.name ?? folder, base === '' ? folder : base]]
    for (const part of parts) crumbs.push([part, `${crumbs.at(-1)[1].replace(/\/$/, '')}/${part}`])
    element('crumbs').replaceChildren(
      ...crumbs.flatMap(([name, path], index) => {
        const button = document.createElement('button')
        button.type = 'button'
        button.textContent = name
        if (index === crumbs.length - 1) button.setAttribute('aria-current', 'page')
        button.addEventListener('click', () => void go(path))
        return index === 0 ? [button] : [' / ', button]
      }),
    )
  }

  function rootOf(path) {
    return roots.find((root) => path === root.path || path.startsWith(`${root.path}/`))
  }

  function itemOf({ name, kind, bytes }) {
    const item = document.createElement('li')
    const path = `${folder.replace(/\/$/, '')}/${name}`
    if (kind === 'folder') {
      const button = document.createElement('button')
      button.type = 'button'
      button.textContent = `${name}/`
      button.addEventListener('click', () => void go(path))
      item.append(button)
    } else {
      const link = document.createElement('a')
      link.href = `file?${new URLSearchParams({ path })}`
      link.download = name
      link.textContent = name
      link.title = `Download ${name}`
      const size = document.createElement('span')
      size.className = 'quiet'
      size.textContent = sizeOf(bytes)
      item.append(link, size)
    }
    return item
  }

  /** Asked first whether it is there, so that no gigabyte is sent for nothing; the other side asks again. */
  async function upload(file, conflict = 'refuse') {
    const path = `${(folder ?? '.').replace(/\/$/, '')}/${file.name}`
    const row = createRow(file)
    const there =
      conflict === 'refuse' ? await fetch(`file?${new URLSearchParams({ path })}`, { method: 'HEAD' }) : undefined
    if (there?.ok) return row.ask((how) => void upload(file, how))
    const { status, detail } = await send(file, path, conflict, row)
    if (status === 409) return row.ask((how) => void upload(file, how))
    if (status !== 201) return row.failed(detail)
    row.done()
    if (!element('files').hidden) void go(folder ?? '')
    else toast(`${file.name} is there.`)
  }

  function send(file, path, conflict, row) {
    return new Promise((resolve) => {
      const request = new XMLHttpRequest()
      request.open('PUT', `file?${new URLSearchParams({ path, conflict })}`)
      request.setRequestHeader('content-type', 'application/octet-stream')
      request.upload.addEventListener('progress', ({ loaded, total }) => row.progress(loaded, total))
      request.addEventListener('load', () =>
        resolve({ status: request.status, detail: detailOf(request.responseText) }),
      )
      request.addEventListener('error', () => resolve({ status: 0, detail: 'The connection broke: try again.' }))
      request.addEventListener('abort', () => resolve({ status: 0, detail: 'Given up.' }))
      row.onCancel(() => request.abort())
      request.send(file)
    })
  }

  function createRow(file) {
    const item = document.createElement('li')
    const name = document.createElement('div')
    const bar = document.createElement('progress')
    const said = document.createElement('span')
    const cancel = button('Cancel')
    name.className = 'name'
    name.textContent = `${file.name}, ${sizeOf(file.size)}`
    said.className = 'quiet'
    bar.max = 1
    bar.value = 0
    bar.setAttribute('aria-label', `Upload of ${file.name}`)
    item.append(name, bar, said, cancel)
    element('transfers').append(item)
    return {
      onCancel(action) {
        cancel.addEventListener('click', action)
      },
      progress(loaded, total) {
        bar.value = total === 0 ? 1 : loaded / total
      },
      done() {
        bar.value = 1
        said.textContent = 'Uploaded.'
        cancel.remove()
        setTimeout(() => item.remove(), 5_000)
      },
      failed(detail) {
        said.textContent = detail
        bar.remove()
        cancel.replaceWith(dismiss())
      },
      ask(then) {
        bar.remove()
        said.textContent = 'It is there already.'
        const choices = [
          ['Keep both', 'rename'],
          ['Replace it', 'replace'],
        ].map(([label, how]) => {
          const made = button(label)
          made.addEventListener('click', () => {
            item.remove()
            then(how)
          })
          return made
        })
        const row = document.createElement('div')
        row.className = 'row'
        row.append(...choices, dismiss('Leave it'))
        cancel.replaceWith(row)
        choices[0].focus()
      },
    }

    function dismiss(label = 'Close') {
      const made = button(label)
      made.addEventListener('click', () => item.remove())
      return made
    }
  }

  function wireDrop() {
    const zone = element('drop')
    let depth = 0
    const hasFiles = (event) => mayAct() && Array.from(event.dataTransfer?.types ?? []).includes('Files')
    const over = (isOver) => {
      depth = Math.max(0, depth + (isOver ? 1 : -1))
      zone.hidden = depth === 0
    }
    addEventListener('dragenter', (event) => hasFiles(event) && over(true))
    addEventListener('dragleave', (event) => hasFiles(event) && over(false))
    addEventListener('dragover', (event) => hasFiles(event) && event.preventDefault())
    addEventListener('drop', (event) => {
      if (!hasFiles(event)) return
      event.preventDefault()
      depth = 0
      zone.hidden = true
      open()
      for (const file of event.dataTransfer.files) void upload(file)
    })
  }

  function note(text) {
    element('files-note').hidden = text === ''
    element('files-note').textContent = text
  }
}

function button(label) {
  const made = document.createElement('button')
  made.type = 'button'
  made.textContent = label
  return made
}

function detailOf(text) {
  try {
    return JSON.parse(text).detail ?? ''
  } catch {
    return 'It was not taken: try again.'
  }
}

function sizeOf(bytes) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  const step = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3))
  return `${(bytes / 1000 ** step).toFixed(step === 0 ? 0 : 1)} ${units[step]}`
}
