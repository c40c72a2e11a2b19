/**
 * The questions to ICAT as text (JPQL). There are no bind parameters of one's own, so nothing gets into one that is not
 * checked character by character here. Pure.
 */
import { datasetIdPattern } from '../domain/dataset-id.ts'
import { proposalIdPattern } from '../domain/proposal-id.ts'
import { spanOf } from './dates.ts'

export interface IcatNames {
  /** What of an investigation is the proposal's id. */
  readonly proposalId: 'name' | 'id'
  /** Whether scientists of an instrument have its investigations. */
  readonly instrumentScientists: boolean
  /** Where an investigation has its technique; absent: nowhere. */
  readonly technique?: Readonly<{ from: 'datasets' } | { from: 'parameter'; name: string }> | undefined
}

/** `me`: as a literal of JPQL. Undefined: nothing can be this person's. */
export function membership(
  me: string | undefined,
  instruments: readonly string[],
  { instrumentScientists }: IcatNames,
): string | undefined {
  const theirs = instruments.filter((name) => /^[\p{L}\p{N}][\p{L}\p{N}_. +()@-]{0,99}$/u.test(name))
  const conditions = [
    ...(me === undefined ? [] : [`u.name = ${me}`]),
    ...(me === undefined || !instrumentScientists ? [] : [`su.name = ${me}`]),
    ...(theirs.length === 0 ? [] : [`n.name IN (${theirs.map((name) => `'${name}'`).join(', ')})`]),
  ]
  if (conditions.length === 0) return undefined
  return conditions.length === 1 ? conditions[0] : `(${conditions.join(' OR ')})`
}

/** The name as a literal; none: nobody can have it in ICAT. */
export function nameLiteral(name: string): string | undefined {
  return /^[A-Za-z0-9][A-Za-z0-9._@/-]{0,254}$/.test(name) ? `'${name}'` : undefined
}

/** None: no investigation can have it. */
export function idLiteral(id: string, { proposalId }: IcatNames): readonly string[] {
  if (proposalId === 'id') return numberLiteral(id)
  return proposalIdPattern.test(id) ? [`'${id}'`] : []
}

export function numberLiteral(id: string): readonly string[] {
  return datasetIdPattern.test(id) && /^[1-9]\d{0,17}$/.test(id) ? [id] : []
}

/** A word of which nothing can be asked for would find everything. */
export function isHopeless(word: string): boolean {
  return /^_*$/.test(patternOf(word))
}

/** `more`: another condition of which one is enough. */
export function oneOf(word: string, paths: readonly string[], date: string, more?: string): string {
  const pattern = `'%${patternOf(word)}%'`
  const conditions = paths.map((path) => `LOWER(${path}) LIKE ${pattern}`)
  if (more !== undefined) conditions.push(more)
  const span = spanOf(word)
  if (span !== undefined)
    conditions.push(`${date} >= ${timeLiteral(span.from)} AND ${date} < ${timeLiteral(span.until)}`)
  return `(${conditions.join(' OR ')})`
}

function timeLiteral(at: Date): string {
  return `{ts ${at.toISOString().slice(0, 19).replace('T', ' ')}}`
}

/** What is neither letter nor digit nor harmless stands for any one character, as _ does in LIKE. */
function patternOf(word: string): string {
  return word.replaceAll(/[^\p{L}\p{N}. +@/()-]/gu, '_')
}

/** A word is looked for in the technique as well, which costs a join over datasets: so only where there are words. */
function joins({ instrumentScientists, technique }: IcatNames, searched: boolean): string {
  return [
    'Investigation i',
    'LEFT JOIN i.investigationUsers AS iu LEFT JOIN iu.user AS u',
    'LEFT JOIN i.investigationInstruments AS ii LEFT JOIN ii.instrument AS n',
    ...(instrumentScientists ? ['LEFT JOIN n.instrumentScientists AS s LEFT JOIN s.user AS su'] : []),
    ...(searched && technique !== undefined ? techniqueJoins(technique).map((join) => `LEFT JOIN ${join}`) : []),
  ].join(' ')
}

function techniqueJoins({ from }: NonNullable<IcatNames['technique']>): readonly string[] {
  switch (from) {
    case 'datasets':
      return ['i.datasets AS td', 'td.datasetTechniques AS tt', 'tt.technique AS t']
    case 'parameter':
      return ['i.parameters AS tp', 'tp.type AS tpt']
  }
}

/** What a word is looked for in, besides the texts of an investigation. */
export function techniqueWord(word: string, { technique }: IcatNames): string | undefined {
  if (technique === undefined) return undefined
  const pattern = `'%${patternOf(word)}%'`
  return technique.from === 'datasets'
    ? `LOWER(t.name) LIKE ${pattern}`
    : `(tpt.name = '${technique.name}' AND LOWER(tp.stringValue) LIKE ${pattern})`
}

/** Each technique of these investigations (numbers), with the investigation's. Undefined: they have none anywhere. */
export function techniquesText({ technique }: IcatNames, ids: readonly number[]): string | undefined {
  if (technique === undefined || ids.length === 0) return undefined
  const [value, condition] =
    technique.from === 'datasets' ? ['t.name', ''] : ['tp.stringValue', `tpt.name = '${technique.name}' AND `]
  const joined = techniqueJoins(technique).map((join) => ` JOIN ${join}`)
  const where = `${condition}i.id IN (${ids.join(', ')})`
  return `SELECT DISTINCT i.id, ${value} FROM Investigation i${joined.join('')} WHERE ${where} LIMIT 0, ${ids.length * mostTechniques}`
}

/** Of one investigation, that are asked for. */
const mostTechniques = 20

export interface Texts {
  find(where: string, from: number, limit: number): string
  count(where: string): string
}

/** `searched`: with words. */
export function investigationTexts(names: IcatNames, searched: boolean): Texts {
  return {
    find: (where, from, limit) =>
      `SELECT DISTINCT i FROM ${joins(names, searched)} WHERE ${where} ORDER BY i.startDate DESC, i.id DESC INCLUDE i.investigationInstruments.instrument LIMIT ${from}, ${limit}`,
    count: (where) => `SELECT COUNT(DISTINCT i) FROM ${joins(names, searched)} WHERE ${where}`,
  }
}

export function datasetTexts({ technique }: IcatNames): Texts {
  const include = technique?.from === 'datasets' ? ' INCLUDE ds.datasetTechniques.technique' : ''
  return {
    find: (where, from, limit) =>
      `SELECT ds FROM Dataset ds WHERE ${where} ORDER BY ds.startDate DESC, ds.id DESC${include} LIMIT ${from}, ${limit}`,
    count: (where) => `SELECT COUNT(ds) FROM Dataset ds WHERE ${where}`,
  }
}
