/** What a desktop needs of the image or the machine, and how to say that it is not there. */
import { findOnPath } from '../executable.ts'

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
