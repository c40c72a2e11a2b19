/** At most so many at once; the rest waits in order. Its queue is as long as there are environments. */
export interface Slots {
  run(work: () => Promise<void>): Promise<void>
}

export function createSlots(most: number): Slots {
  const waiting: (() => void)[] = []
  let busy = 0
  return {
    async run(work) {
      if (busy >= most) await new Promise<void>((resolve) => waiting.push(resolve))
      else busy += 1
      try {
        await work()
      } finally {
        const next = waiting.shift()
        if (next) next()
        else busy -= 1
      }
    },
  }
}
