/** What a desktop needs of the image or the machine, and how to say that it is not there. */
import { accessSync, constants } from 'node:fs'
import { delimiter, isAbsolute, join } from 'node:path'

/** Undefined: all is there. Otherwise a sentence for the user. */
export function missingForDesktop(argv: readonly string[], path: string): string | undefined {
  const [command = ''] = argv
  const missing = ['Xvnc', command].filter((name) => findOnPath(name, path) === undefined)
  if (missing.length === 0) return undefined
  return `There is no desktop here: ${missing.join(' and ')} ${missing.length === 1 ? 'is' : 'are'} missing. ${remedy}`
}

const remedy =
  'On Debian they come with: apt-get install tigervnc-standalone-server xfce4-session xfwm4 xfce4-panel xfdesktop4 ' +
  'xfce4-settings xfce4-terminal thunar dbus-daemon.'

/** A path as it is, or the first of that name that can be run. */
export function findOnPath(name: string, path: string): string | undefined {
  if (name === '') return undefined
  const places = isAbsolute(name) ? [name] : path.split(delimiter).map((folder) => join(folder, name))
  return places.find(isExecutable)
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
