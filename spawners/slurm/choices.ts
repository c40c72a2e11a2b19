/** What a profile leaves to its users: partition, account, quality of service, reservation, GPUs, time. Pure. */
import type { Chosen, LaunchOption } from '../spawner.ts'
import type { SlurmProfile } from './config.ts'

const words = ['partition', 'account', 'qos', 'reservation'] as const

const titles: Readonly<Record<(typeof words)[number], string>> = {
  partition: 'Partition',
  account: 'Account',
  qos: 'Quality of service',
  reservation: 'Reservation',
}

/** In the order of the page; the default first. */
export function optionsOf({ choices }: SlurmProfile): readonly LaunchOption[] {
  const { gpus, time } = choices
  return [
    ...words.flatMap((name) => {
      const values = choices[name]
      if (values === undefined || values.length === 0) return []
      const listed = values.map((value) => ({ value, title: value }))
      // A beamtime's reservation is an offer, not a must.
      const none = name === 'reservation' ? [{ value: '', title: 'None' }] : []
      return [{ name, title: titles[name], values: [...none, ...listed] }]
    }),
    ...(gpus === undefined || gpus.length === 0
      ? []
      : [{ name: 'gpus', title: 'GPUs', values: gpus.map((each) => ({ value: String(each), title: String(each) })) }]),
    ...(time === undefined || time.length === 0
      ? []
      : [{ name: 'time', title: 'Time', values: time.map((ms) => ({ value: String(ms), title: duration(ms) })) }]),
  ]
}

/** `chosen` holds a value of each option, and nothing else. */
export function withChosen(profile: SlurmProfile, chosen: Readonly<Record<string, string>>): Chosen<SlurmProfile> {
  const named = words.flatMap((name) => {
    const value = chosen[name]
    return value === undefined || value === '' ? [] : [[name, value] as const]
  })
  const { gpus, time } = chosen
  return {
    profile: { ...profile, ...Object.fromEntries(named) },
    ...(gpus === undefined ? {} : { gpus: Number(gpus) }),
    ...(time === undefined ? {} : { walltimeMs: Number(time) }),
  }
}

function duration(ms: number): string {
  const minutes = Math.round(ms / 60_000)
  const [days, hours, rest] = [Math.floor(minutes / 1_440), Math.floor(minutes / 60) % 24, minutes % 60]
  const parts = [days > 0 && `${days} d`, hours > 0 && `${hours} h`, rest > 0 && `${rest} min`].filter(Boolean)
  return parts.join(' ') || '1 min'
}
