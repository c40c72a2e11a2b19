/** The commands that the agent starts when a profile names none. */

/** Structurally the `Application` of spawners/spawner.ts, which may not be imported from here. */
export interface DefaultApplication {
  readonly kind: 'notebook' | 'terminal' | 'desktop'
  readonly argv: readonly string[]
  readonly readyPath: string
  readonly landingPath: string
}

/** Undefined for kinds that a profile must give a command for. */
export function defaultApplication(kind: 'notebook' | 'terminal' | 'desktop'): DefaultApplication
export function defaultApplication(kind: string): DefaultApplication | undefined
export function defaultApplication(kind: string): DefaultApplication | undefined {
  if (kind === 'notebook') return notebook
  if (kind === 'terminal') return terminal
  return kind === 'desktop' ? desktop : undefined
}

/** Starts nothing: the agent's own web terminal is the application. */
const terminal: DefaultApplication = {
  kind: 'terminal',
  argv: [],
  readyPath: '_hutch/terminal/',
  landingPath: '_hutch/terminal/',
}

/** The session; a profile's argv, a single program say, takes its place. Xvnc is the agent's own affair. */
const desktop: DefaultApplication = {
  kind: 'desktop',
  argv: ['xfce4-session'],
  readyPath: '',
  landingPath: '_hutch/desktop/',
}

/**
 * Who may enter is decided before the agent, so there is no token and no password: the 0600 socket in a 0700 folder
 * is the boundary. The command line wins over configuration files in the user's home, so everything that could open
 * or break that boundary is said here, even where it is Jupyter's default.
 */
const notebook: DefaultApplication = {
  kind: 'notebook',
  argv: [
    // Not `jupyter lab`, which is a Python of its own that only looks for this: a tenth of a second less.
    'jupyter-lab',
    '--ServerApp.sock={socket}',
    '--ServerApp.sock_mode=0600',
    // A port in the user's configuration makes Jupyter refuse the socket; this value means "not given".
    '--ServerApp.port=8888',
    '--ServerApp.port_retries=0',
    '--ServerApp.certfile=',
    '--ServerApp.keyfile=',
    '--ServerApp.base_url={prefix}',
    '--ServerApp.allow_remote_access=True',
    '--ServerApp.allow_origin=',
    '--ServerApp.allow_origin_pat=',
    '--ServerApp.disable_check_xsrf=False',
    '--ServerApp.custom_display_url=',
    '--IdentityProvider.token=',
    '--PasswordIdentityProvider.hashed_password=',
    '--PasswordIdentityProvider.password_required=False',
    '--ServerApp.root_dir=/',
    '--FileContentsManager.preferred_dir={start}',
    '--ServerApp.open_browser=False',
    // As whom it runs is decided before the agent.
    '--ServerApp.allow_root=True',
    '--ServerApp.quit_button=False',
    '--ServerApp.terminals_enabled=True',
    '--ContentsManager.allow_hidden=True',
    // A kernel's output port on 127.0.0.1 can be read by everybody on the machine; its unix sockets, in the agent's
    // private folder (JUPYTER_RUNTIME_DIR), can't.
    '--KernelManager.transport=ipc',
    '--LabApp.news_url=None',
    '--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate',
    '--LabApp.extension_manager=readonly',
  ],
  readyPath: 'api',
  landingPath: 'lab',
}
