/** What {socket}, {prefix}, {home}, {start} and {port} stand for. */
export interface Placeholders {
  readonly socket: string
  readonly prefix: string
  readonly home: string
  readonly start: string
  /** Of an application that listens itself. */
  readonly port?: string
}

/** Each within its own argument, in one pass: a value that looks like a placeholder is left as it is. */
export function fillIn(text: string, values: Partial<Placeholders>): string {
  return text.replace(
    /\{(socket|prefix|home|start|port)\}/g,
    (whole, name: keyof Placeholders) => values[name] ?? whole,
  )
}
