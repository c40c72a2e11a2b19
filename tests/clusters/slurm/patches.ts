/** What is wrong in slurmrestd's own documents, put right before types are made of them: here and nowhere else. */

/** A document, as far as it is touched. */
export interface OpenapiDocument {
  readonly paths: Readonly<Record<string, unknown>>
  readonly components: Readonly<{ schemas: Readonly<Record<string, unknown>> }>
}

type Json = Record<string, unknown>

export const patched: Readonly<Record<'v0.0.38' | 'v0.0.42', (document: OpenapiDocument) => OpenapiDocument>> = {
  'v0.0.38': (document) => {
    const paths = only(
      document,
      /^\/slurm(db)?\/v0\.0\.38\/(jobs?|jobs?\/\{job_id\}|job\/submit|ping|diag|nodes|associations|qos|user\/\{user_name\})\/?$/,
    )
    const schemas = structuredClone(document.components.schemas) as Record<string, Json>
    for (const [name, schema] of Object.entries(schemas)) {
      if (!name.endsWith('job_properties')) continue
      const properties = schema['properties'] as Record<string, Json>
      // Its members are the variables; without this nothing may be in it.
      properties['environment'] = { type: 'object', additionalProperties: { type: 'string' } }
      // Of numbers in an array it takes none, and gives one node: "2-2" is what it reads.
      const { items, ...nodes } = properties['nodes'] ?? {}
      if (items !== undefined) properties['nodes'] = { ...nodes, type: 'string' }
      // What it takes for a whole machine is the one word that it does not list.
      properties['exclusive'] = { type: 'string', enum: ['exclusive', 'oversubscribe', 'user', 'mcs'] }
    }
    const { QOS: names, ...rest } = propertiesOf(schemas['dbv0.0.38_association'])
    const jobs = propertiesOf(propertiesOf(rest['max'])['jobs'])
    // What it answers with: MaxJobs and GrpJobs, and the two names the other way round.
    jobs['active'] = { type: 'integer', description: 'MaxJobs' }
    propertiesOf(jobs['per'])['count'] = { type: 'integer', description: 'GrpJobs' }
    Object.assign(schemas['dbv0.0.38_association'] ?? {}, { properties: { ...rest, qos: names } })
    const { qos, ...info } = propertiesOf(schemas['dbv0.0.38_qos_info'])
    Object.assign(schemas['dbv0.0.38_qos_info'] ?? {}, { properties: { ...info, QOS: qos } })
    return { ...document, paths, components: { ...document.components, schemas } }
  },
  'v0.0.42': (document) => ({
    ...document,
    paths: only(
      document,
      /^\/slurm(db)?\/v0\.0\.42\/(jobs?|jobs?\/\{job_id\}|job\/submit|ping|diag|nodes|associations|qos)\/?$/,
    ),
  }),
}

function propertiesOf(schema: Json | undefined): Record<string, Json> {
  return (schema?.['properties'] ?? {}) as Record<string, Json>
}

/** What is not asked for would be thousands of lines, and some of it is not valid. */
function only({ paths }: OpenapiDocument, wanted: RegExp): OpenapiDocument['paths'] {
  return Object.fromEntries(Object.entries(paths).filter(([path]) => wanted.test(path)))
}
