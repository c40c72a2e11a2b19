/** The same for a proposal that is somebody else's and for one that is not there: neither is told. */
import { Problem } from '../domain/problem.ts'

export function notOpen(proposal: string): Problem {
  return new Problem(
    'notEntitled',
    `There is no proposal ${proposal} that is open to you. Choose one of yours, or ask its principal investigator to add you.`,
    { field: 'proposals' },
  )
}
