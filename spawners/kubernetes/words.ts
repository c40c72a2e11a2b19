/** What Kubernetes says, in a scientist's words. Pure. */
import { oneLine } from '../common/oneLine.ts'
import type { Word } from './seen.ts'

export interface Waiting {
  readonly message: string
  /** `atOnce`: trying again can't help. `soon`: it may be a hiccup. `no`: it is on its way. */
  readonly hopeless: 'atOnce' | 'soon' | 'no'
}

/** The reason why a container waits. */
export function waitingInWords(reason: string, message: string): Waiting {
  const why = oneLine(message)
  const more = why === '' ? '' : `: ${why}`
  switch (reason) {
    case 'InvalidImageName':
      return { message: `The name of the image is wrong${more}. Ask your administrator.`, hopeless: 'atOnce' }
    case 'ErrImageNeverPull':
      return {
        message: `The image is not on the machine, and may not be pulled${more}. Ask your administrator.`,
        hopeless: 'atOnce',
      }
    case 'ErrImagePull':
    case 'ImagePullBackOff':
    case 'RegistryUnavailable':
    case 'SignatureValidationFailed':
      return { message: `The image can't be had${more}. Ask your administrator.`, hopeless: 'soon' }
    case 'CreateContainerConfigError':
    case 'CreateContainerError':
    case 'RunContainerError':
      return { message: `The container can't be made${more}. Ask your administrator.`, hopeless: 'soon' }
    case 'CrashLoopBackOff':
      return { message: `What should run in it ends at once, again and again${more}.`, hopeless: 'atOnce' }
    default:
      return {
        message: `It is being prepared${reason === '' || reason === 'ContainerCreating' ? '' : ` (${oneLine(reason)})`}`,
        hopeless: 'no',
      }
  }
}

/** An event of a pod that is on its way. */
export function wordsOfEvent({ reason, message }: Word): { message: string } {
  const why = oneLine(message)
  switch (reason) {
    case 'Scheduled':
      return { message: 'A machine was found; its directories are being mounted' }
    case 'Pulling':
      return { message: `The image is being fetched (${why.replace(/^Pulling image /, '')})` }
    case 'Pulled':
      return { message: `The image is there (${why.replace(/^(Successfully pulled|Container) image /, '')})` }
    case 'Created':
    case 'Started':
      return { message: 'The container is being started' }
    case 'TriggeredScaleUp':
      return { message: 'The cluster is adding a machine for it; that takes some minutes' }
    case 'FailedMount':
    case 'FailedAttachVolume':
    case 'FailedMapVolume':
      return { message: `A directory can't be mounted: ${why}` }
    case 'FailedCreatePodSandBox':
      return { message: `The machine has trouble making its network: ${why}` }
    default:
      return { message: why === '' ? oneLine(reason) : why }
  }
}
