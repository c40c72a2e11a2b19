/**
 * What the proxy is run with. Of small requests a few hundred are under way at once, and these 8 MB hold them until
 * they are garbage; what does not fit counts as long-lived, and costs a third more CPU. With Node's own 16 MB a proxy
 * grows by 30 MB. The threads are the collector's and the compiler's.
 */
export const proxyNodeFlags = ['--max-semi-space-size=8', '--v8-pool-size=2'] as const
