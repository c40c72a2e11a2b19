/**
 * What the proxy is run with. These 4 MB hold some hundred requests that are under way until they are garbage; what
 * does not fit counts as long-lived, and costs a third more CPU. With 8 MB a proxy that was busy stays 15 MB larger,
 * with Node's own 16 MB 30. The threads are the collector's and the compiler's.
 */
export const proxyNodeFlags = ['--max-semi-space-size=4', '--v8-pool-size=2'] as const
