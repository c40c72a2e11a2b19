/** Archived datasets that were chosen: where each was restored to, or a refusal that says what to do. */
import type { Archive, RestoredPlace } from '../archive/index.ts'
import { datasetReference } from '../domain/dataset-id.ts'
import type { Choices } from '../domain/environment.ts'
import { Problem } from '../domain/problem.ts'
import type { Dataset, User } from '../domain/services.ts'

/** By the dataset's id. @throws Problem launchRefused */
export async function restoredPlaces(
  archive: Pick<Archive, 'place'>,
  user: User,
  datasets: readonly Dataset[],
  folders: Choices['folders'] = {},
  signal: AbortSignal,
): Promise<ReadonlyMap<string, RestoredPlace>> {
  const archived = datasets.filter((dataset) => dataset.archived)
  const places = await Promise.all(
    archived.map(async (dataset) => {
      const picked = folders[datasetReference({ proposal: dataset.proposal, dataset: dataset.id })]
      return [dataset.id, await archive.place(user, dataset, picked, signal)] as const
    }),
  )
  return new Map(places)
}

export function notRestorable(spawner: string): Problem {
  return new Problem(
    'launchRefused',
    `Restored data can not be mounted on ${spawner}: it does not look for links on the way. Choose another place, or leave them out.`,
    { field: 'spawner' },
  )
}
