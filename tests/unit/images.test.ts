import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { imageFolders } from '../../images/folders.ts'
import { inOrder } from '../../images/order.ts'

const folder = (name: string, base?: string) => ({ name, ...(base !== undefined && { base }), fromCheckout: false })
const names = (folders: readonly Readonly<{ name: string }>[]) => folders.map(({ name }) => name)

test('an image is built after the one that it is built from, which is built too', (t) => {
  const folders = [folder('desktop'), folder('pyfai', 'notebook'), folder('notebook'), folder('more', 'pyfai')]
  t.deepEqual(names(inOrder(folders, ['more'])), ['notebook', 'pyfai', 'more'])
  t.deepEqual(names(inOrder(folders, [])), ['desktop', 'notebook', 'pyfai', 'more'])
  t.deepEqual(names(inOrder([folder('own', 'elsewhere')], [])), ['own'])
  t.throws(() => inOrder([folder('a', 'b'), folder('b', 'a')], []), { message: /a → b → a/ })
})

test('every Dockerfile is for any Docker, says where it is from, and ends as an ordinary user', async (t) => {
  const folders = imageFolders(join(import.meta.dirname, '../..'))
  t.true(folders.length >= 3)
  for (const { name } of folders) {
    const text = await readFile(join(import.meta.dirname, '../../images', name, 'Dockerfile'), 'utf8')
    t.notRegex(text, /^#\s*syntax|<<|--link|--mount=/m, `${name}: 20.10's classic builder can't`)
    for (const label of ['version', 'source', 'title', 'licenses']) {
      t.regex(text, new RegExp(`org\\.opencontainers\\.image\\.${label}=`), `${name}: the label ${label}`)
    }
    const last = text.slice(text.lastIndexOf('\nFROM '))
    t.regex(last, /^FROM scratch|^USER \d+:\d+$/m, `${name}: numeric USER`)
  }
})
