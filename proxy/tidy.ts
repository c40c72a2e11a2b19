/**
 * After a crowd has left: V8 collects garbage when it makes more, and a quiet proxy makes none, so that it would keep
 * the memory of the crowd for hours. One collection, when hundreds of connections are gone and little goes on.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

export interface Tidy {
  /** To be called about once a second, with what is open and what was answered so far. */
  look(connections: number, requests: number): void
}

const crowd = 200
const quietRequests = 50

export function createTidy(collect: () => void): Tidy {
  // What reading the program and its configuration took is garbage at the first look.
  let most = crowd
  let before = 0
  return {
    look(connections, requests) {
      const isQuiet = requests - before < quietRequests
      before = requests
      most = Math.max(most, connections)
      if (!isQuiet || most - connections < crowd) return
      most = connections
      collect()
    },
  }
}

/**
 * Of a few hundred requests at once some outlive two collections of young garbage, and count as long-lived. V8 lets that
 * grow threefold before it looks again: 17 MiB more at 256 connections. Half again costs half a percent of the CPU.
 */
export function collectSooner(): void {
  setFlagsFromString('--heap-growing-percent=50')
}

export function garbageCollector(): () => void {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as (options: object) => void
  // The one that gives pages back to the system.
  return () => collect({ type: 'major', execution: 'sync', flavor: 'last-resort' })
}
