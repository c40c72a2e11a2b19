/** Whether one more environment is within the limits. Asked inside the transaction that commits it. */
import type { Resources } from '../../spawners/spawner.ts'
import type { Choices, Environment } from '../domain/environment.ts'
import { Problem } from '../domain/problem.ts'
import type { User } from '../domain/services.ts'

/** What is asked for: enough for limits of users, groups, proposals, profiles and resources. */
interface AdmissionRequest {
  readonly user: User
  readonly groups: readonly string[]
  readonly choices: Choices
  readonly spawner: string
  readonly resources: Resources
}

/** `live`: the user's environments that are not ended, as they are inside the transaction. Throws Problem overQuota. */
export type Admission = (request: AdmissionRequest, live: readonly Environment[]) => void

/** What is being stopped counts until it is gone: it still holds what it holds. */
export function perUserAdmission(most: number): Admission {
  return (_request, live) => {
    if (live.length < most) return
    const titles = live.slice(0, 5).map((environment) => `"${environment.title}"`)
    const more = live.length > titles.length ? ` and ${live.length - titles.length} more` : ''
    throw new Problem(
      'overQuota',
      `You may have ${most} ${most === 1 ? 'environment' : 'environments'} at once, and you have ${live.length}: ${titles.join(', ')}${more}. Stop one of them to launch another.`,
    )
  }
}
