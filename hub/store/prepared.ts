/**
 * Statements that are asked for again and again: Kysely makes the text of each once for a database, and afterwards
 * only the values change. Making it costs more than SQLite's own work.
 */
import type { Compilable, CompiledQuery, Kysely, QueryResult, Transaction } from 'kysely'
import type { Tables } from './schema.ts'

type Db = Kysely<Tables> | Transaction<Tables>

/** What stands for a value while the statement is made. */
class Placeholder {
  readonly name: string
  constructor(name: string) {
    this.name = name
  }
}

/** Beyond this many shapes, a statement is made each time. */
const mostShapes = 200

/**
 * `build` is called with placeholders instead of values, so it may only hand them on. Where its statement depends on
 * anything else (which columns there are), `shapeOf` must tell each such thing by name.
 */
export function prepared<Values extends object, Row>(
  build: (db: Db, values: Values) => Compilable<Row>,
  shapeOf: (values: Values) => string = () => '',
): (db: Db, values: Values) => Promise<QueryResult<Row>> {
  // One for each database (its adapter is what a transaction has in common with it), gone when that is.
  const known = new WeakMap<object, Map<string, CompiledQuery<Row>>>()
  return async (db, values) => {
    const { adapter } = db.getExecutor()
    const statements = known.get(adapter) ?? new Map<string, CompiledQuery<Row>>()
    known.set(adapter, statements)
    const shape = shapeOf(values)
    let statement = statements.get(shape)
    if (statement === undefined) {
      if (statements.size >= mostShapes) return await db.executeQuery(build(db, values).compile())
      statement = build(db, placeholders(values)).compile()
      statements.set(shape, statement)
    }
    const parameters = statement.parameters.map((each) => (each instanceof Placeholder ? at(values, each.name) : each))
    return await db.executeQuery({ ...statement, parameters })
  }
}

/** The same object with a placeholder in the place of each value; objects in it likewise. */
function placeholders<Values extends object>(values: Values, path = ''): Values {
  const made = Object.entries(values).map(([name, value]: [string, unknown]) => [
    name,
    isPlain(value) ? placeholders(value, `${path}${name}.`) : new Placeholder(`${path}${name}`),
  ])
  return Object.fromEntries(made) as Values
}

function at(values: object, path: string): unknown {
  return path.split('.').reduce<unknown>((inner, name) => (inner as Record<string, unknown>)[name], values)
}

function isPlain(value: unknown): value is object {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
}
