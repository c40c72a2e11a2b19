/** What an agent answers at /_agent/health and /_agent/status. Claims, like everything that it says. */
import { z } from 'zod'
import { agentReportSchema } from './bootstrap.ts'

/** 200 when the application is ready, 503 otherwise; the body is the same. */
export const agentHealthSchema = z.object({
  version: z.literal(1),
  id: z.string().max(30),
  run: z.string().max(64),
  application: agentReportSchema.shape.application,
  message: z.string().max(2_000).optional(),
})
export type AgentHealth = z.infer<typeof agentHealthSchema>

export const agentStatusSchema = agentHealthSchema.extend({
  lastActivityAt: agentReportSchema.shape.lastActivityAt,
  usage: agentReportSchema.shape.usage,
  /** Open terminals of the agent's own. */
  terminals: z.int().nonnegative(),
})
export type AgentStatus = z.infer<typeof agentStatusSchema>
