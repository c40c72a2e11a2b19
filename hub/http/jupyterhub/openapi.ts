/** The OpenAPI document of the operations: made from the same schemas that check what comes in. */
import { z } from 'zod'
import project from '../../../package.json' with { type: 'json' }
import { apiPrefix, type Documented } from './operation.ts'

const problemSchema = z.strictObject({
  type: z.string(),
  status: z.int(),
  title: z.string(),
  detail: z.string().describe('One sentence, and what to do.'),
  message: z.string().describe('The same, where JupyterHub has it.'),
  field: z.string().optional(),
  instance: z.string().describe("The request's id in the log."),
})

/** OpenAPI 3.1. */
export function openApiDocument(operations: readonly Documented[]): object {
  const paths: Record<string, Record<string, object>> = {}
  for (const each of operations) {
    const path = (paths[each.path] ??= {})
    path[each.method.toLowerCase()] = operationObject(each)
  }
  return {
    openapi: '3.1.0',
    info: {
      title: "Hutch: JupyterHub's API",
      version: project.version,
      description:
        "What JupyterHub's clients use. Times are ISO 8601 in UTC. Every refusal is a Problem (RFC 9457) that says what to do.",
    },
    servers: [{ url: apiPrefix }],
    paths,
    components: {
      securitySchemes: {
        token: {
          type: 'apiKey',
          in: 'header',
          name: 'Authorization',
          description: '`token <token>` or `Bearer <token>`',
        },
      },
    },
    security: [{ token: [] }],
  }
}

function operationObject({ summary, scopes, open, path, query, body, form, answers, method }: Documented): object {
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name)
  const inPath = names.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } }))
  const responses = Object.fromEntries(
    Object.entries(answers).map(([status, { description, schema, type = 'application/json' }]) => [
      status,
      { description, ...(schema === null ? {} : { content: { [type]: { schema: json(schema, 'output') } } }) },
    ]),
  )
  const refusals = {
    description: 'A refusal',
    content: { 'application/problem+json': { schema: json(problemSchema, 'output') } },
  }
  return {
    operationId: `${method.toLowerCase()}${path.replaceAll(/[^A-Za-z]+(\w?)/g, (_, letter: string) => letter.toUpperCase())}`,
    summary,
    ...(scopes === undefined ? {} : { description: `Takes the scope ${scopes.join(' or ')}.` }),
    ...(open ? { security: [] } : {}),
    parameters: [...inPath, ...queryParameters(query)],
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            content: {
              [form ? 'application/x-www-form-urlencoded' : 'application/json']: { schema: json(body, 'input') },
            },
          },
        }),
    responses: { ...responses, default: refusals },
  }
}

interface ObjectSchema {
  readonly properties?: Readonly<Record<string, { description?: string }>>
  readonly required?: readonly string[]
}

function queryParameters(query: z.ZodType | undefined): object[] {
  if (query === undefined) return []
  const { properties = {}, required = [] } = json(query, 'input') as ObjectSchema
  return Object.entries(properties).map(([name, { description, ...schema }]) => ({
    name,
    in: 'query',
    required: required.includes(name),
    ...(description === undefined ? {} : { description }),
    schema,
  }))
}

function json(schema: z.ZodType, io: 'input' | 'output'): object {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any', reused: 'inline' })
  return rest
}
