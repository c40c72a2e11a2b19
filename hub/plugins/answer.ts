/** What a plug-in is waited for: until the signal, whether it heeds that or not. */
export async function answerOf<T>(asked: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted()
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const abort = (): void => reject(signal.reason as Error)
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([asked, aborted])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
