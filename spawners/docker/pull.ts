/** How far a pull is, from the lines that Docker says. Pure. */

export interface PullLine {
  readonly id?: string
  readonly status?: string
  readonly error?: string
  readonly progressDetail?: Readonly<{ current?: number; total?: number }>
}

interface Layer {
  readonly bytes: number
  readonly total: number
  readonly isThere: boolean
}

export interface PullProgress {
  /** @throws with Docker's own words when the line says that it failed. */
  take(line: PullLine): void
  /** For the waiting page. */
  message(): string
}

/** Far more than images have: what comes in is bounded. */
const mostLayers = 512

export function pullProgress(image: string): PullProgress {
  const layers = new Map<string, Layer>()
  return {
    take({ id, status = '', error, progressDetail = {} }) {
      if (error !== undefined) throw new Error(error)
      if (id === undefined || !/^[0-9a-f]{6,64}$/.test(id) || (!layers.has(id) && layers.size >= mostLayers)) return
      const before = layers.get(id) ?? { bytes: 0, total: 0, isThere: false }
      const { current = before.bytes, total = before.total } = progressDetail
      if (/^(Pull complete|Already exists)$/.test(status)) layers.set(id, { ...before, isThere: true })
      else if (status === 'Downloading') layers.set(id, { ...before, bytes: current, total })
      else if (/^(Download complete|Extracting)$/.test(status)) layers.set(id, { ...before, bytes: before.total })
      else layers.set(id, before)
    },
    message() {
      const all = [...layers.values()]
      if (all.length === 0) return `The image ${image} is being fetched`
      const there = all.filter(({ isThere }) => isThere).length
      const sum = (of: (layer: Layer) => number): number => all.reduce((total, layer) => total + of(layer), 0)
      const [bytes, total] = [sum((layer) => layer.bytes), sum((layer) => layer.total)]
      const amount = total > 0 ? `, ${megabytes(bytes)} of ${megabytes(total)} MB` : ''
      return `The image ${image} is being fetched: ${there} of ${all.length} layers${amount}`
    },
  }
}

function megabytes(bytes: number): number {
  return Math.round(bytes / 1e6)
}
