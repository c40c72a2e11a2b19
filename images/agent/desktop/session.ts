/** What runs on the display: XFCE or what the profile names, with a bus and settings that suit a picture on a wire. */
import { randomInt } from 'node:crypto'
import { access, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { findOnPath } from '../executable.ts'

const mostStarts = 6
/** A tenth of a second at most. */
const mostPassed = 150
const atOnceSeconds = 8

export interface SessionOptions {
  readonly argv: readonly string[]
  readonly environment: NodeJS.ProcessEnv
  /** Private and of this environment alone. */
  readonly folder: string
  readonly display: Readonly<{ DISPLAY: string; XAUTHORITY: string }>
}

export interface PreparedSession {
  readonly argv: readonly string[]
  readonly environment: NodeJS.ProcessEnv
}

export async function prepareSession({ argv, environment, folder, display }: SessionOptions): Promise<PreparedSession> {
  const runtime = join(folder, 'x')
  await mkdir(runtime, { recursive: true, mode: 0o700 })
  const settings = join(folder, 'xdg')
  await writeSettings(settings)
  const hasGraphicsCard = await isThere('/dev/dri')
  const { DBUS_SESSION_BUS_ADDRESS: _bus, SESSION_MANAGER: _manager, WAYLAND_DISPLAY: _wayland, ...rest } = environment
  return {
    argv: sessionArgv(argv, environment['PATH'] ?? ''),
    environment: {
      LANG: 'C.UTF-8',
      ...(hasGraphicsCard ? {} : { LIBGL_ALWAYS_SOFTWARE: '1' }),
      ...rest,
      ...display,
      XDG_RUNTIME_DIR: runtime,
      XDG_SESSION_TYPE: 'x11',
      XDG_CURRENT_DESKTOP: 'XFCE',
      // In the home it would be locked, over NFS, by another desktop of the same person.
      ICEAUTHORITY: join(runtime, 'iceauthority'),
      XDG_CONFIG_DIRS: [settings, rest['XDG_CONFIG_DIRS'] ?? '/etc/xdg'].join(':'),
      // Who listens to a screen reader listens to the browser's.
      NO_AT_BRIDGE: '1',
    },
  }
}

/** A bus for the session where there is one to be had; a single program gets something that moves its windows. */
function sessionArgv(argv: readonly string[], path: string): readonly string[] {
  const bus = findOnPath('dbus-run-session', path)
  const manager = ['xfwm4', 'openbox', 'mutter', 'metacity', 'twm'].find((name) => findOnPath(name, path) !== undefined)
  const isWhole = /(?:session|startxfce4|startplasma|startlxde|startlxqt)/.test(argv[0] ?? '')
  const script = isWhole ? patiently() : manager === undefined ? undefined : managedBy(manager)
  const whole = script === undefined ? argv : ['/bin/sh', '-c', script, 'sh', ...argv]
  return bus === undefined ? whole : [bus, '--', ...whole]
}

/**
 * A session manager listens on an abstract socket that is called by its pid, and does not start where there is one:
 * sandboxes with pids of their own share such names, because they share a network. So pids are passed over first, and
 * one that ends at once is started again.
 */
function patiently(): string {
  const passed = Array.from({ length: mostStarts }, () => randomInt(mostPassed)).join(' ')
  return `for n in ${passed}; do
    while [ "$n" -gt 0 ]; do (:); n=$((n - 1)); done
    at=$(date +%s); "$@"; code=$?
    [ "$code" -ne 0 ] && [ $(($(date +%s) - at)) -lt ${atOnceSeconds} ] || break
  done; exit "$code"`
}

/** The same calm ground as a whole desktop has, where the program for it is there. */
function managedBy(manager: string): string {
  return `xsetroot -solid '#2c3a47' 2>/dev/null; ${manager} & exec "$@"`
}

/** XFCE's own, below the user's and above the image's: shadows cost pictures, and a saved session is of another place. */
async function writeSettings(folder: string): Promise<void> {
  const place = join(folder, 'xfce4/xfconf/xfce-perchannel-xml')
  await mkdir(place, { recursive: true, mode: 0o700 })
  for (const [channel, text] of Object.entries(channels)) {
    const whole = `<?xml version="1.0" encoding="UTF-8"?>\n<channel name="${channel}" version="1.0">${text}</channel>\n`
    await writeFile(join(place, `${channel}.xml`), whole, { mode: 0o600 })
  }
}

const property = (name: string, type: string, value: string, inner = ''): string =>
  `<property name="${name}" type="${type}" value="${value}">${inner}</property>`
const group = (name: string, ...inner: readonly string[]): string =>
  `<property name="${name}" type="empty">${inner.join('')}</property>`

/** A calm slate: #2c3a47. */
const colour = [0x2c, 0x3a, 0x47, 0xff].map((part) => `<value type="double" value="${part / 255}"/>`).join('')

const channels: Readonly<Record<string, string>> = {
  xfwm4: group('general', property('use_compositing', 'bool', 'false'), property('workspace_count', 'int', '1')),
  'xfce4-session':
    group('general', property('SaveOnExit', 'bool', 'false'), property('LockCommand', 'string', '')) +
    // They would make folders in the home and stay; who wants one starts it.
    group('startup', ...['ssh-agent', 'gpg-agent'].map((name) => group(name, property('enabled', 'bool', 'false')))),
  'xfce4-desktop': group(
    'backdrop',
    group(
      'screen0',
      group(
        'monitorVNC-0',
        group(
          'workspace0',
          property('color-style', 'int', '0'),
          property('image-style', 'int', '0'),
          `<property name="rgba1" type="array">${colour}</property>`,
        ),
      ),
    ),
  ),
}

async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  )
}
