/** What was chosen, as the catalogue has it now: proposals and datasets that are open to this person, or a refusal. */
import { readDatasetReference } from '../domain/dataset-id.ts'
import type { Choices } from '../domain/environment.ts'
import { Problem } from '../domain/problem.ts'
import type { Catalogue, Dataset, Proposal, User } from '../domain/services.ts'
import { entitledTo } from './asking.ts'

export interface ChosenData {
  /** In the order in which they were chosen. */
  readonly proposals: readonly Proposal[]
  readonly datasets: readonly Dataset[]
}

/** @throws Problem notEntitled */
export async function chosenData(
  catalogue: Pick<Catalogue, 'entitled' | 'datasetsOf'>,
  user: User,
  { proposals: ids, datasets: references = [] }: Pick<Choices, 'proposals' | 'datasets'>,
  signal: AbortSignal,
): Promise<ChosenData> {
  const proposals = await entitledTo(catalogue, user, ids, signal)
  const found = await Promise.all(
    [...byProposal(references)].map(async ([proposal, wanted]) => {
      const there = await catalogue.datasetsOf(user, proposal, wanted, signal)
      return wanted.map((id) => there.find((each) => each.id === id) ?? id)
    }),
  )
  const datasets = found.flat().map((each) => {
    if (typeof each !== 'string') return each
    const sentence = `There is no dataset ${each} in this proposal any more. Choose another, or the whole proposal.`
    throw new Problem('notEntitled', sentence, { field: 'datasets' })
  })
  return { proposals, datasets }
}

/** Ids of datasets by the proposal that they are chosen of; what is no reference is passed over. */
export function byProposal(references: readonly string[]): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>()
  for (const text of references) {
    const reference = readDatasetReference(text)
    if (reference === undefined) continue
    const { proposal, dataset } = reference
    found.set(proposal, [...(found.get(proposal) ?? []), dataset])
  }
  return found
}
