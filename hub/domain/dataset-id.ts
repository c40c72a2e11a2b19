/**
 * What can be a dataset's id: SciCat's are handles with slashes, ICAT's are numbers. Never part of a path. One that was
 * chosen is written with its proposal before it and a slash between them, which no proposal's id holds.
 */
import { proposalIdPattern } from './proposal-id.ts'

export const datasetIdPattern = /^(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._:/@+~-]{0,254}$/

export interface DatasetReference {
  readonly proposal: string
  readonly dataset: string
}

/** Undefined: it is none. */
export function readDatasetReference(text: string): DatasetReference | undefined {
  const slash = text.indexOf('/')
  const [proposal, dataset] = [text.slice(0, slash), text.slice(slash + 1)]
  return slash > 0 && proposalIdPattern.test(proposal) && datasetIdPattern.test(dataset)
    ? { proposal, dataset }
    : undefined
}

export function datasetReference({ proposal, dataset }: DatasetReference): string {
  return `${proposal}/${dataset}`
}
