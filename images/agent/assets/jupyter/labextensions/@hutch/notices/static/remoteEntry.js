/**
 * A prebuilt extension of JupyterLab 4, by hand: the container that its loader asks for (module federation), and the one
 * plugin. The bar itself is the agent's, the same as in the terminal: this loads it and says how JupyterLab saves.
 */
'use strict'
;(() => {
  const plugin = {
    id: '@hutch/notices:plugin',
    description: 'Warns of the end of this environment and of the login, and saves before the end.',
    autoStart: true,
    async activate({ commands }) {
      const config = JSON.parse(document.getElementById('jupyter-config-data')?.textContent ?? '{}')
      const { beforeTheEnd } = await import(`${config.baseUrl ?? '/'}_hutch/static/notices.js`)
      // By its name: JupyterLab makes the command when its documents are there.
      beforeTheEnd(async () => {
        if (commands.hasCommand('docmanager:save-all')) await commands.execute('docmanager:save-all')
      })
    },
  }
  const modules = { './extension': { __esModule: true, default: plugin } }
  globalThis._JUPYTERLAB ??= {}
  globalThis._JUPYTERLAB['@hutch/notices'] = {
    init: () => undefined,
    get: (name) => Promise.resolve(() => modules[name]),
  }
})()
