/** What Docker says, in a scientist's words: for good (LaunchRefused), or worth another try. Pure. */
import { oneLine } from '../common/oneLine.ts'
import { LaunchRefused } from '../spawner.ts'

/** The daemon's own sentence; undefined: it did not answer at all. */
export function said(error: unknown): string | undefined {
  const { json, message: whole, statusCode } = error as { json?: unknown; message?: unknown; statusCode?: unknown }
  if (typeof statusCode !== 'number') return undefined
  const { message } = (json ?? {}) as { message?: unknown }
  // Of an answer that would have been a stream, dockerode's client has put it into its own sentence alone.
  return oneLine(typeof message === 'string' ? message : String(whole).replace(/^\(HTTP code \d+\) [^-]* - /, ''))
}

export function isStatus(error: unknown, ...statuses: readonly number[]): boolean {
  const { statusCode } = error as { statusCode?: unknown }
  return statuses.some((status) => status === statusCode)
}

export const diskIsFull = 'The disk of the machine that runs Docker is full. Ask your administrator to make room.'

/** What to throw for an error of a request that makes or starts something. */
export function asRefusal(error: unknown, { image = 'the image' }: { image?: string } = {}): unknown {
  const text = said(error)
  if (text === undefined || error instanceof LaunchRefused) return error
  const refuse = (message: string): LaunchRefused => new LaunchRefused(message, { cause: error })
  if (/no space left on device|disk quota exceeded/i.test(text)) return refuse(diskIsFull)
  const [, missing] = /bind source path does not exist: (\S+)/.exec(text) ?? []
  if (missing !== undefined) {
    return refuse(`The directory ${missing} is not on the machine that runs Docker. Ask your administrator.`)
  }
  if (/could not select device driver|unknown or invalid runtime name|nvidia/i.test(text)) {
    return refuse(`This Docker can't give it what the profile asks for: ${text}. Ask your administrator.`)
  }
  if (/No such image/i.test(text)) return refuse(missingImage(image))
  if (isStatus(error, 400)) return refuse(`Docker does not accept the profile: ${text}. Ask your administrator.`)
  if (/OCI runtime create failed|failed to create shim|permission denied|not a directory/i.test(text)) {
    return refuse(`The container can't be started: ${text}. Ask your administrator.`)
  }
  return error
}

export function missingImage(image: string): string {
  return `The image ${image} is not on the machine, and may not be fetched. Ask your administrator.`
}

/** Why an image could not be fetched, from what Docker says of it. */
export function pullInWords(image: string, text: string): string {
  const why = oneLine(text)
  if (/no space left on device/i.test(why)) return diskIsFull
  if (/invalid reference format|invalid repository name/i.test(why)) {
    return `The name of the image is wrong: ${image}. Ask your administrator.`
  }
  if (/unauthorized|authentication required|no basic auth credentials|incorrect username or password/i.test(why)) {
    return `The registry does not let this installation fetch ${image}: it asks for a login, or refuses the one that it got. Ask your administrator.`
  }
  if (/manifest unknown|not found|repository does not exist|denied/i.test(why)) {
    return `There is no image ${image}, or it may not be fetched (${why}). Ask your administrator.`
  }
  return `The image ${image} can't be fetched: ${why}. Ask your administrator.`
}
