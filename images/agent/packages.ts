/** The software that an environment has, for its record: what its image says, or the Python that JupyterLab runs in. */
import { open, readdir, realpath } from 'node:fs/promises'
import { delimiter, dirname, join } from 'node:path'

/** Where an image keeps the list of what is in it: a line "where-from name version" for each. */
const imageList = '/usr/share/hutch/packages'
const longestText = 48_000
const mostPackages = 5_000

/** Undefined: nothing tells. */
export async function readPackages(environment: NodeJS.ProcessEnv, list = imageList): Promise<string | undefined> {
  return (await start(list)) ?? (await pythonPackages(environment['PATH'] ?? ''))
}

async function start(path: string): Promise<string | undefined> {
  try {
    const file = await open(path)
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(longestText), 0, longestText, 0)
      return whole(buffer.toString('utf8', 0, bytesRead), bytesRead === longestText)
    } finally {
      await file.close()
    }
  } catch {
    return undefined // there is none, or it can't be read
  }
}

/** By the names of their metadata, which no program need be started for. */
async function pythonPackages(path: string): Promise<string | undefined> {
  for (const folder of path.split(delimiter).filter((each) => each.startsWith('/'))) {
    try {
      const program = await realpath(join(folder, 'jupyter-lab'))
      const lines = await packagesBeside(dirname(dirname(program)))
      if (lines.length > 0) return whole(`${lines.join('\n')}\n`, false)
    } catch {
      // It is not in this folder of PATH.
    }
  }
  return undefined
}

async function packagesBeside(prefix: string): Promise<string[]> {
  const lines: string[] = []
  for (const version of await readdir(join(prefix, 'lib'))) {
    if (!version.startsWith('python3')) continue
    for (const kind of ['site-packages', 'dist-packages']) {
      const names = await readdir(join(prefix, 'lib', version, kind)).catch(() => [])
      for (const name of names.slice(0, mostPackages * 4)) {
        const [, package_, number] = /^([\w.-]{1,100})-([\w.!+]{1,60})\.dist-info$/.exec(name) ?? []
        if (package_ !== undefined && number !== undefined) lines.push(`python ${package_} ${number}`)
      }
    }
  }
  return lines.toSorted().slice(0, mostPackages)
}

/** No half line at the end. */
function whole(text: string, isCut: boolean): string | undefined {
  const printable = text.replaceAll(/[^\P{Cc}\n]/gu, '').slice(0, longestText)
  const cut =
    isCut || printable.length === longestText ? printable.slice(0, printable.lastIndexOf('\n') + 1) : printable
  return cut.trim() === '' ? undefined : cut
}
