/** See program.js. `folders`: where bundles are kept, the best first. */
export function findProgram(name: 'hub' | 'proxy', node: string, folders?: readonly string[]): string | undefined
