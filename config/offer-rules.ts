/** The rules of what is offered, as written: names that there are, and a condition and an effect for each. */
import type { Draft } from './draft.ts'
import type { Finding } from './mistake.ts'
import { unknownName } from './words.ts'

const kinds = ['profiles', 'flavours', 'spawners'] as const
const effects = ['opens', 'first'] as const

export function offerMistakes({ offers = [], names }: Draft): Finding[] {
  return offers.flatMap((rule, index) => {
    const path = ['offers', index]
    const found: Finding[] = []
    for (const effect of effects) {
      for (const kind of kinds) {
        for (const [at, name] of rule[effect][kind].entries()) {
          if (names[kind].includes(name)) continue
          const message = unknownName(kind.slice(0, -1), name, names[kind])
          found.push({ path: [...path, effect, kind, at], message })
        }
      }
    }
    const { around: _, ...conditions } = rule.when
    if (Object.values(conditions).every((condition) => condition === undefined)) {
      const message = 'has no condition, so it would fit everybody: write the order that you want, or leave it out'
      found.push({ path: [...path, 'when'], message })
    }
    const isIdle = effects.every(
      (effect) =>
        kinds.every((kind) => rule[effect][kind].length === 0) && Object.keys(rule[effect].options).length === 0,
    )
    if (isIdle) found.push({ path, message: 'does nothing; say what it opens, or what comes first' })
    return found
  })
}
