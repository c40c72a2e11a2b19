/** What the API server says no to: for good (LaunchRefused, in words), or worth another try. Pure. */
import { oneLine } from '../common/oneLine.ts'
import { LaunchRefused } from '../spawner.ts'
import { ApiError } from './api.ts'

/** What to throw for an error of a request that makes something. */
export function asRefusal(error: unknown): unknown {
  if (!(error instanceof ApiError)) return error
  const said = oneLine(error.message)
  const options = { cause: error }
  const quota = /exceeded quota: ([^,]+), requested: (.+?), used: (.+?), limited: (.+)$/.exec(said)
  if (quota) {
    const [, name, requested, used, limited] = quota
    return new LaunchRefused(
      `The cluster's quota "${name}" has no room for it: ${requested} is asked for, ${used} is in use, ${limited} is the limit. Stop another environment, or choose a smaller size.`,
      options,
    )
  }
  if (/admission webhook .* denied the request|ValidatingAdmissionPolicy .* denied request/.test(said)) {
    return new LaunchRefused(`A rule of the cluster refuses it: ${said}. Ask your administrator.`, options)
  }
  if (/violates PodSecurity/.test(said)) {
    return new LaunchRefused(`The cluster's Pod Security refuses it: ${said}. Ask your administrator.`, options)
  }
  switch (error.status) {
    case 400:
    case 422: {
      const fields = error.causes
        .map(({ field, message }) => `${field === '' ? '' : `${field}: `}${oneLine(message)}`)
        .join('; ')
      return new LaunchRefused(
        `The cluster does not accept the profile (${fields === '' ? said : fields}). Ask your administrator.`,
        options,
      )
    }
    case 404:
      // Only a namespace can be missing where something is made.
      return new LaunchRefused(`The place where it would run is not there: ${said}. Ask your administrator.`, options)
    case 403:
      // A namespace that is being deleted refuses everything new with this; a missing right may be given any time.
      return /is being terminated/.test(said)
        ? new LaunchRefused(`The cluster is removing the place where it would run: ${said}.`, options)
        : error
    default:
      return error
  }
}

export function isStatus(error: unknown, ...statuses: readonly number[]): error is ApiError {
  return error instanceof ApiError && statuses.includes(error.status)
}
