/** Who looks at the desktop now. Each window is one; all of them may know of each other. */

interface Presence {
  readonly name: string
  readonly looksOnly: boolean
  /** Made up by the window itself, so that it knows itself in the list. */
  readonly window: string
}

export interface Room {
  /** Undefined: there are too many already. Otherwise what leaves again. */
  enter(presence: Presence): (() => void) | undefined
  list(): readonly Presence[]
  /** Calls at each change until the returned function is called. Undefined: too many listen. */
  follow(changed: () => void): (() => void) | undefined
}

export function createRoom({ most = 24 }: { most?: number } = {}): Room {
  const present = new Set<Presence>()
  const followers = new Set<() => void>()
  const tell = (): void => {
    for (const follower of followers) follower()
  }
  return {
    enter(presence) {
      if (present.size >= most) return undefined
      const own = { ...presence }
      present.add(own)
      tell()
      return () => {
        if (present.delete(own)) tell()
      }
    },
    list: () => [...present],
    follow(changed) {
      if (followers.size >= 2 * most) return undefined
      followers.add(changed)
      return () => void followers.delete(changed)
    },
  }
}
