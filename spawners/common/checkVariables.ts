import { LaunchRefused } from '../spawner.ts'

/** @throws LaunchRefused for what no shell and no backend can hand on, naming it. */
export function checkVariables(variables: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(variables)) {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
      throw new LaunchRefused(`${JSON.stringify(name)} is not a name of a variable.`)
    }
    if (value.includes('\0')) throw new LaunchRefused(`The variable ${name} holds a NUL.`)
  }
}
