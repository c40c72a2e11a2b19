import type { EndReason } from '../../spawners/spawner.ts'

/** What a user reads where the backend says nothing better. */
export const endMessages: Readonly<Record<EndReason, string>> = {
  completed: 'It ended by itself.',
  failed: 'It ended with an error; the last lines of its log may say why.',
  outOfMemory: 'It took more memory than it had.',
  timeLimit: 'Its time was over.',
  idle: 'It was stopped because it was not used for a long time.',
  preempted: 'The computing service needed its place for something more urgent. Launch it again.',
  evicted: 'The machine that it ran on had no room for it any more. Launch it again.',
  nodeLost: 'The machine that it ran on was lost. Launch it again.',
  cancelled: 'It was stopped.',
  launchRefused: 'The computing service refused to launch it.',
  startTimeout: 'It did not become ready in time; the last lines of its log may say why.',
  vanished: 'It is not there any more, and the computing service does not say why. Launch it again.',
}
