/** Where the demo provider keeps its sessions and codes: in memory, bounded. Who is logged in logs in again after a restart. */
type Payload = Readonly<Record<string, unknown>>
interface Entry {
  readonly payload: Payload
  readonly until: number
}

const mostEntries = 5_000

/** An adapter factory as oidc-provider wants it: (model's name) => its store. */
export function createAdapters(now: () => number) {
  const entries = new Map<string, Entry>()

  function put(key: string, entry: Entry): void {
    entries.delete(key)
    const [oldest] = entries.keys()
    if (entries.size >= mostEntries && oldest !== undefined) entries.delete(oldest)
    entries.set(key, entry)
  }

  function get(key: string): Entry | undefined {
    const entry = entries.get(key)
    if (!entry || entry.until > now()) return entry
    entries.delete(key)
    return undefined
  }

  return (model: string) => {
    const own = `${model}:`
    const search = (matches: (payload: Payload) => boolean): [string, Entry] | undefined =>
      [...entries].find(([key, { payload, until }]) => key.startsWith(own) && until > now() && matches(payload))
    return {
      async upsert(id: string, payload: Payload, expiresInSeconds?: number) {
        put(own + id, { payload, until: now() + (expiresInSeconds ?? 86_400) * 1000 })
      },
      async find(id: string) {
        return get(own + id)?.payload
      },
      async findByUid(uid: string) {
        return search((payload) => payload['uid'] === uid)?.[1].payload
      },
      async findByUserCode(userCode: string) {
        return search((payload) => payload['userCode'] === userCode)?.[1].payload
      },
      async consume(id: string) {
        const entry = get(own + id)
        if (entry) put(own + id, { ...entry, payload: { ...entry.payload, consumed: Math.floor(now() / 1000) } })
      },
      async destroy(id: string) {
        entries.delete(own + id)
      },
      async revokeByGrantId(grantId: string) {
        for (const [key, { payload }] of entries) if (payload['grantId'] === grantId) entries.delete(key)
      },
    }
  }
}
