/** What runs without a configuration file: a demo on this machine alone, with nothing to set up. */
import type { ConfigurationInput } from './schema.ts'

export interface DemoOptions {
  /** Where the hub puts a folder for each demo proposal, with raw and processed in it. */
  readonly demoDataFolder: string
  /** Whether this machine has what a desktop needs. */
  readonly hasDesktop?: boolean
}

export function demoConfiguration({ demoDataFolder, hasDesktop = false }: DemoOptions): ConfigurationInput {
  return {
    hub: { title: 'Hutch', contact: 'whoever started this demo' },
    login: { demo: true },
    accounts: { source: 'demo' },
    catalogue: { type: 'demo' },
    database: { type: 'sqlite' },
    mounts: [
      {
        name: 'raw data',
        source: `${demoDataFolder}/{proposal}/raw`,
        target: '/data/{instrument}/{proposal}/raw',
        allowedRoots: [demoDataFolder],
        readOnly: true,
      },
      {
        name: 'processed data',
        source: `${demoDataFolder}/{proposal}/processed`,
        target: '/data/{instrument}/{proposal}/processed',
        allowedRoots: [demoDataFolder],
        readOnly: false,
      },
    ],
    flavours: {
      small: { title: 'Small', cpu: 1, memory: '2GiB', walltime: '8h' },
      medium: { title: 'Medium', cpu: 2, memory: '4GiB', walltime: '8h' },
    },
    // Not root: the demo's three people are one, whoever started it; where bubblewrap is there, it is used all the same.
    // Root: they are three accounts, whose umask lets them share results; in a container there may be no limits.
    spawners: { here: { type: 'local', umask: '0007', allowUnsandboxed: true, allowUnlimited: true } },
    profiles: {
      jupyterlab: {
        title: 'JupyterLab',
        description: 'Notebooks with Python, beside the data of your proposals.',
        kind: 'notebook',
        flavours: ['small', 'medium'],
        longest: '3d',
        on: { here: {} },
      },
      ...(hasDesktop ? { desktop } : {}),
      terminal: {
        title: 'Terminal',
        description: 'A shell in the browser. It needs nothing installed.',
        kind: 'terminal',
        flavours: ['small', 'medium'],
        longest: '3d',
        on: { here: {} },
      },
    },
  }
}

const desktop = {
  title: 'Desktop',
  description: 'A whole desktop in the browser, for programs that draw windows.',
  kind: 'desktop',
  flavours: ['small', 'medium'] as string[],
  on: { here: {} },
} satisfies ConfigurationInput['profiles'][string]
