import { Counter, type Registry } from 'prom-client'

export interface LoginMetrics {
  succeeded(provider: string): void
  refused(provider: string, reason: string): void
}

export function createLoginMetrics(registry: Registry): LoginMetrics {
  const logins = new Counter({
    name: 'hutch_logins_total',
    help: 'Logins by provider and result: succeeded, or why not.',
    labelNames: ['provider', 'result'] as const,
    registers: [registry],
  })
  return {
    succeeded: (provider) => logins.inc({ provider, result: 'succeeded' }),
    refused: (provider, result) => logins.inc({ provider, result }),
  }
}
