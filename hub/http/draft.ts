/** What a link or a form that was not sent yet would choose: how far it can be taken, and how it is written again. */
import type { Choices } from '../domain/environment.ts'
import { Problem } from '../domain/problem.ts'
import type { Offer } from '../domain/services.ts'
import { readChoices } from '../launch/choices.ts'
import { quoted } from './quoted.ts'

export interface CheckedDraft {
  readonly draft: Partial<Choices>
  /** What of it can't be had, a sentence each. */
  readonly notes: readonly string[]
}

/** Whoever made the link: it fills in the form, and what it can't fill in is said. Pure. */
export function checkDraft(draft: Partial<Choices>, offers: readonly Offer[]): CheckedDraft {
  const { notebook, open, ...rest } = draft
  const notes: string[] = []
  const offer = offers.find(({ profile }) => profile === draft.profile)
  if (draft.profile !== undefined && offer === undefined) {
    notes.push(`${quoted(draft.profile)} is not offered to you here: choose from what is.`)
  }
  if (
    offer !== undefined &&
    draft.flavour !== undefined &&
    !offer.flavours.some(({ name }) => name === draft.flavour)
  ) {
    notes.push(`${offer.title} has no size ${quoted(draft.flavour)}: choose from those that it has.`)
  }
  const paths = { notebook, open }
  const taken: { notebook?: string; open?: string } = {}
  for (const field of ['notebook', 'open'] as const) {
    const text = paths[field]
    if (text === undefined) continue
    const why = refusalOf(field, text)
    if (why === undefined) taken[field] = text
    else notes.push(`${quoted(text)} can't be opened first: ${why}`)
  }
  return { draft: { ...rest, ...taken }, notes }
}

/** What a launch would say of this field alone. */
function refusalOf(field: 'notebook' | 'open', text: string): string | undefined {
  try {
    readChoices({ profile: 'p', flavour: 'f', proposals: [], [field]: text })
    return undefined
  } catch (error) {
    if (error instanceof Problem) return error.detail.replace(/^\w+: /, '')
    throw error
  }
}

/** As the fields of a form, for the way to another page and back; `without`: those that this page has itself. */
export function draftFields(
  { proposals = [], datasets = [], folders = {}, options = {}, ...rest }: Partial<Choices>,
  without: readonly string[] = [],
): readonly (readonly [name: string, value: string])[] {
  const { profile, flavour, spawner, title, open, notebook } = rest
  const single = { profile, flavour, spawner, title, open, notebook }
  return [
    ...Object.entries(single).flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const])),
    ...Object.entries(options).map(([name, value]) => [`option:${profile ?? ''}:${name}`, value] as const),
    ...proposals.map((id) => ['proposals', id] as const),
    ...datasets.filter((text) => !without.includes(text)).map((text) => ['datasets', text] as const),
    ...Object.entries(folders)
      .filter(([dataset]) => !without.includes(dataset))
      .map(([dataset, folder]) => [`folder:${dataset}`, folder] as const),
  ]
}
