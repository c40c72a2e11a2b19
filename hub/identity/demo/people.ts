/** The three demo people. Their passwords are made for each installation: fixed ones would let in every neighbour. */
import { createHash, randomInt, timingSafeEqual } from 'node:crypto'
import { z } from 'zod'
import { keptInFile } from './private-file.ts'

export interface DemoPerson {
  /** The user name. */
  readonly name: string
  readonly title: string
  readonly email: string
  readonly password: string
}

const peopleSchema = z
  .array(z.object({ name: z.string(), title: z.string(), email: z.string(), password: z.string().min(8) }))
  .min(1)
  .max(20)

/** From demo-people.json, which is made at the first start; whoever may read it may edit it. */
export function loadPeople(path: string): Promise<readonly DemoPerson[]> {
  return keptInFile(path, peopleSchema, () => [
    person('ada', 'Ada Lovelace'),
    person('marie', 'Marie Curie'),
    person('rosalind', 'Rosalind Franklin'),
  ])
}

/** Undefined: no such person, or another password; which of both can't be told, by time neither. */
export function personBy(people: readonly DemoPerson[], name: string, password: string): DemoPerson | undefined {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  const found = people.find((person) => person.name === name)
  const right = timingSafeEqual(digest(found?.password ?? 'nobody has this'), digest(password))
  return right ? found : undefined
}

function person(name: string, title: string): DemoPerson {
  return { name, title, email: `${name}@demo.invalid`, password: newPassword() }
}

/** 60 bits, without letters that look alike. */
function newPassword(): string {
  const letters = 'abcdefghjkmnpqrstuvwxyz23456789x'
  const group = () => Array.from({ length: 4 }, () => letters[randomInt(letters.length)]).join('')
  return [group(), group(), group()].join('-')
}
