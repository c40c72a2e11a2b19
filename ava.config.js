/** What takes longest begins first, so that at the end nothing runs alone. Most tests wait more than they compute. */
const longest = [
  'slurm-faults',
  'reconcile-laws',
  'reconcile-faults',
  'pages',
  'pages-live',
  'spawnerKubernetes',
  'proxy-soak',
  'contractMutants',
  'spawnerSlurm',
  'kubernetes',
  'fresh-machine',
  'jupyterhub-tools',
  'proxy-jupyterhub',
  'main-job',
  'keycloak',
  'root',
  'faults',
].map((name) => `/${name}.test.ts`)

const rank = (/** @type {string} */ file) => {
  const found = longest.findIndex((end) => file.endsWith(end))
  return found === -1 ? longest.length : found
}

export default {
  files: ['tests/**/*.test.ts'],
  extensions: ['ts'],
  timeout: '3m',
  workerThreads: false,
  concurrency: 2,
  sortTestFiles: (/** @type {string} */ one, /** @type {string} */ other) =>
    rank(one) - rank(other) || one.localeCompare(other),
}
