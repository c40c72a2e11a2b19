/** A login at a catalogue that all questions share. */

export interface Session {
  readonly value: string
  /** When it is not used any more, in ms since the epoch. */
  readonly endsAt: number
}

export interface Sessions {
  /** The one that there is, or that of a new login; whoever comes meanwhile waits for the same. */
  get(): Promise<Session>
  /** It is refused. Others may have a newer one already, which stays. */
  forget(session: Session): void
}

export function createSessions(logIn: () => Promise<Session>, now: () => Date): Sessions {
  let login: Promise<Session> | undefined
  let held: Session | undefined

  async function current(): Promise<Session> {
    if (held !== undefined) return held
    login ??= logIn().finally(() => {
      login = undefined
    })
    held = await login
    return held
  }

  function forget(session: Session): void {
    if (held === session) held = undefined
  }

  return {
    async get() {
      const session = await current()
      if (now().getTime() < session.endsAt) return session
      forget(session)
      return await current()
    },
    forget,
  }
}
