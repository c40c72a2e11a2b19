/** Where the application is, for everybody who asks, and a call whenever it changes. */
import type { AgentReport } from './bootstrap.ts'

export type State = Readonly<{ application: AgentReport['application']; message?: string }>

export interface StateKeeper {
  now(): State
  become(application: State['application'], message?: string): void
}

const longestMessage = 2_000

export function createStateKeeper(onChange: (state: State) => void): StateKeeper {
  let state: State = { application: 'starting' }
  return {
    now: () => state,
    become(application, message) {
      state = { application, ...(message === undefined ? {} : { message: message.slice(0, longestMessage) }) }
      onChange(state)
    },
  }
}
