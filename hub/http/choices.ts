/** The launch form's fields to Choices. What a field may hold is hub/launch's to say. */
import type { Choices } from '../domain/environment.ts'
import { readDatasetReference } from '../domain/dataset-id.ts'
import { Problem } from '../domain/problem.ts'
import { readChoices } from '../launch/choices.ts'

/**
 * From the launch form, where each profile has its own flavour and spawner fields: `flavour:notebook`. Also from a
 * query string ("launch again", a search without scripts), where anything may be missing.
 */
export function choicesOfForm(form: Readonly<Record<string, unknown>>): Choices {
  const profile = first(form['profile'])
  if (!profile) throw new Problem('badRequest', 'Choose what to launch first.', { field: 'profile' })
  const flavour = first(form[`flavour:${profile}`]) ?? first(form['flavour'])
  const spawner = first(form[`spawner:${profile}`]) || first(form['spawner'])
  const [title, open, notebook] = [first(form['title']), first(form['open']), first(form['notebook'])]
  const datasets = all(form['datasets'])
  return readChoices({
    profile,
    flavour,
    proposals: all(form['proposals']),
    ...(spawner ? { spawner } : {}),
    ...optionsOf(form, profile),
    ...(datasets.length === 0 ? {} : { datasets }),
    ...foldersOf(form, datasets),
    ...(title ? { title } : {}),
    ...(open ? { open } : {}),
    ...(notebook ? { notebook } : {}),
  })
}

/** For drawing the form again: never throws, keeps what is sound. */
export function draftOfForm(form: Readonly<Record<string, unknown>>): Partial<Choices> {
  const profile = first(form['profile'])?.slice(0, 64)
  const flavour = profile === undefined ? undefined : (first(form[`flavour:${profile}`]) ?? first(form['flavour']))
  const spawner = profile === undefined ? undefined : (first(form[`spawner:${profile}`]) ?? first(form['spawner']))
  const datasets = datasetsOf(form)
  const theirs = datasets.flatMap((each) => readDatasetReference(each)?.proposal ?? [])
  const proposals = [...all(form['proposals']), ...all(form['proposal']), ...theirs]
  return {
    proposals: [...new Set(proposals)].slice(0, 50).filter((id) => id.length <= 128),
    ...(datasets.length === 0 ? {} : { datasets }),
    ...foldersOf(form, datasets),
    ...(profile ? { profile } : {}),
    ...(flavour ? { flavour: flavour.slice(0, 64) } : {}),
    ...(spawner ? { spawner: spawner.slice(0, 64) } : {}),
    ...optionsOf(form, profile),
    ...(first(form['title']) ? { title: first(form['title'])?.slice(0, 120) ?? '' } : {}),
    ...(first(form['notebook']) ? { notebook: first(form['notebook'])?.slice(0, 512) ?? '' } : {}),
    ...(first(form['open']) ? { open: first(form['open'])?.slice(0, 1_024) ?? '' } : {}),
  }
}

/** A link from a portal says `dataset`, which belongs to its `proposal` unless that is written before it. */
function datasetsOf(form: Readonly<Record<string, unknown>>): string[] {
  const proposal = first(form['proposal'])
  const linked = all(form['dataset']).map((id) =>
    proposal === undefined || id.startsWith(`${proposal}/`) ? id : `${proposal}/${id}`,
  )
  return [...new Set([...all(form['datasets']), ...linked])].slice(0, 100).filter((id) => id.length <= 400)
}

/** Fields such as folder:20260042/scan-1, of datasets that are chosen; what is empty says nothing. */
function foldersOf(form: Readonly<Record<string, unknown>>, datasets: readonly string[]): Pick<Choices, 'folders'> {
  const given = datasets.flatMap((dataset) => {
    const text = first(form[`folder:${dataset}`])?.trim()
    return text ? [[dataset, text.slice(0, 1_025)] as const] : []
  })
  return given.length === 0 ? {} : { folders: Object.fromEntries(given) }
}

/** Fields such as `option:lab:partition`; where the form is drawn again, what is too long is left out. */
function optionsOf(form: Readonly<Record<string, unknown>>, profile: string | undefined): Pick<Choices, 'options'> {
  const start = `option:${profile ?? ''}:`
  const given = Object.entries(form).flatMap(([field, value]) => {
    const text = field.startsWith(start) ? first(value) : undefined
    return text === undefined ? [] : [[field.slice(start.length), text] as const]
  })
  return given.length === 0 ? {} : { options: Object.fromEntries(given.slice(0, 20)) }
}

function first(value: unknown): string | undefined {
  const one: unknown = Array.isArray(value) ? value[0] : value
  return typeof one === 'string' ? one : undefined
}

function all(value: unknown): string[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : value === undefined ? [] : [value]
  return list.filter((each) => typeof each === 'string')
}
