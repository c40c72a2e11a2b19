/** What is counted: plain numbers by name, so that those of several workers add up. Rendered for Prometheus. */
import type { Done } from './forward/forwarding.ts'

export interface Statistics {
  /** `name{labels}` → value. */
  readonly numbers: Readonly<Record<string, number>>
}

export interface Counters {
  done(done: Done): void
  readonly refused: (status: number) => void
  /** Counts so far; `gauges` are added to them. */
  read(gauges: Readonly<Record<string, number>>): Statistics
}

const bucketsSeconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

export function createCounters(): Counters {
  const numbers: Record<string, number> = {}
  const buckets = Array.from({ length: bucketsSeconds.length + 1 }, () => 0)
  const statusNames = new Map<string, string>()
  let seconds = 0
  let bytesIn = 0
  let bytesOut = 0

  return {
    done({ request, status, kind, route, bytesIn: received, bytesOut: sent, cause }) {
      bump(requestsName(kind, status, route === undefined ? 'hub' : 'environment'))
      bytesIn += received
      bytesOut += sent
      if (kind === 'http') {
        const took = (performance.now() - request.startedAt) / 1_000
        seconds += took
        let bucket = 0
        while (bucket < bucketsSeconds.length && took > (bucketsSeconds[bucket] ?? 0)) bucket += 1
        buckets[bucket] = (buckets[bucket] ?? 0) + 1
      }
      if (cause !== undefined) bump(`hutch_proxy_failures_total{cause="${failureName(cause)}"}`)
    },
    refused: (status) => bump(`hutch_proxy_refused_total{status="${status}"}`),
    read(gauges) {
      const all: Record<string, number> = { ...numbers, ...gauges }
      all['hutch_proxy_received_bytes_total'] = bytesIn
      all['hutch_proxy_sent_bytes_total'] = bytesOut
      let count = 0
      for (const [index, value] of buckets.entries()) {
        count += value
        all[`hutch_proxy_request_seconds_bucket{le="${bucketsSeconds[index] ?? '+Inf'}"}`] = count
      }
      all['hutch_proxy_request_seconds_sum'] = seconds
      all['hutch_proxy_request_seconds_count'] = count
      return { numbers: all }
    },
  }

  function bump(name: string): void {
    numbers[name] = (numbers[name] ?? 0) + 1
  }

  function requestsName(kind: string, status: number, to: string): string {
    const key = `${kind}${status}${to}`
    const known = statusNames.get(key)
    if (known !== undefined) return known
    const name = `hutch_proxy_requests_total{kind="${kind}",status="${status}",to="${to}"}`
    statusNames.set(key, name)
    return name
  }
}

/** The first word of a cause; the rest is for the log. */
function failureName(cause: string): string {
  return /^[A-Za-z]{1,32}/.exec(cause)?.[0] ?? 'other'
}

const help: Readonly<Record<string, readonly [type: string, text: string]>> = {
  hutch_proxy_requests_total: ['counter', 'Requests answered, by kind, status and where they went.'],
  hutch_proxy_failures_total: ['counter', 'Requests that were refused or broke off, by cause.'],
  hutch_proxy_refused_total: ['counter', 'Messages that were no valid HTTP, by status.'],
  hutch_proxy_received_bytes_total: ['counter', 'Bytes of bodies and WebSockets from browsers.'],
  hutch_proxy_sent_bytes_total: ['counter', 'Bytes of bodies and WebSockets to browsers.'],
  hutch_proxy_request_seconds: ['histogram', 'From the head of a request to the end of its answer.'],
  hutch_proxy_connections: ['gauge', 'Open connections of browsers.'],
  hutch_proxy_http2_connections: ['gauge', 'Those of them that speak HTTP/2, with many requests each.'],
  hutch_proxy_live: ['gauge', 'Requests and WebSockets that go on now.'],
  hutch_proxy_transfers: ['gauge', 'Uploads and downloads that have lasted and still move.'],
  hutch_proxy_routes: ['gauge', 'Routes in the table.'],
  hutch_proxy_feed_connected: ['gauge', '1 while the proxy follows the hub.'],
  hutch_proxy_table_age_seconds: ['gauge', 'Time since the hub was last heard; -1: never.'],
  hutch_proxy_heap_bytes: ['gauge', 'Bytes of the heap in use, of the process or of all workers.'],
  hutch_proxy_timers: ['gauge', 'Timers that are set; they do not grow with connections.'],
  hutch_proxy_resident_bytes: ['gauge', 'Resident memory of the process, or of all workers.'],
}

export function renderStatistics(all: readonly Statistics[]): string {
  const sums = new Map<string, number>()
  for (const { numbers } of all) {
    for (const [name, value] of Object.entries(numbers)) sums.set(name, (sums.get(name) ?? 0) + value)
  }
  let text = ''
  for (const [family, [type, words]] of Object.entries(help)) {
    const lines = [...sums].filter(([name]) => familyOf(name) === family)
    if (lines.length === 0) continue
    text += `# HELP ${family} ${words}\n# TYPE ${family} ${type}\n`
    for (const [name, value] of lines) text += `${name} ${value}\n`
  }
  return text
}

function familyOf(name: string): string {
  const bare = name.split('{', 1)[0] ?? ''
  return help[bare] === undefined ? bare.replace(/_(?:bucket|sum|count)$/, '') : bare
}
