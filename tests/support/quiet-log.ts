import type { Log } from '../../spawners/spawner.ts'

/** Says nothing. */
export const quietLog: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => quietLog }
