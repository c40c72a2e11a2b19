/** The measured process has one core to itself; what asks it and what it asks share the other. */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { program } from '../support/component.ts'

/** Of util-linux. Undefined: nothing is pinned, and figures are what they are. */
const taskset = program('taskset')

export const measuredCore = 0
export const otherCore = 1

/** argv that comes before a program's own. */
export function onCore(core: number): string[] {
  return taskset === undefined ? [] : [taskset, '-c', String(core)]
}

/** A process that runs, with its threads and its children. */
export function moveTo(core: number, pid: number): void {
  if (taskset === undefined) return
  execFileSync(taskset, ['-a', '-c', '-p', String(core), String(pid)], { stdio: 'ignore' })
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const children = readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8')
    for (const child of children.split(' ').filter(Boolean)) moveTo(core, Number(child))
  }
}
