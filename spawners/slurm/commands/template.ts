/** A batch system as its commands: what is called, and how what they say is read. Each is data; nothing of it is a shell's. */
import { z } from 'zod'
import { duration } from '../../../config/units.ts'

/** Of what is called, by the place where it may stand. Whatever has no value leaves out the word or the group that names it. */
const variables = {
  /** For every call that somebody makes. */
  person: ['user', 'uid'],
  submit: [
    'user',
    'uid',
    'name',
    'comment',
    'directory',
    'output',
    'home',
    'path',
    'minutes',
    'seconds',
    'cpus',
    'tasks',
    'slots',
    'nodes',
    'memoryMegabytes',
    'gpus',
    'gpu',
    'partition',
    'account',
    'qos',
    'reservation',
    'constraint',
    'licenses',
    'exclusive',
  ],
  cancel: ['user', 'uid', 'job'],
  extend: ['job', 'minutes', 'seconds'],
  list: ['mark', 'prefix'],
  ended: ['mark', 'prefix', 'names', 'since', 'sinceMinute'],
  nodes: ['mark'],
  check: [],
  limits: [],
} as const

type Place = keyof typeof variables

const word = z
  .string()
  .max(1_024)
  .regex(/^[^\0\n\r]*$/, 'must be one line')

/** Words of a command; a list within it is left out as a whole when one of its variables has no value. */
const words = (place: Place): z.ZodType<readonly Word[]> =>
  z
    .array(z.union([word, z.array(word).min(1).max(20)]))
    .min(1)
    .max(100)
    .superRefine((given, context) => {
      const known: readonly string[] = variables[place]
      for (const name of given.flatMap(namesIn)) {
        if (known.includes(name)) continue
        const there = known.length === 0 ? 'none' : known.map((each) => `{${each}}`).join(' ')
        context.addIssue({ code: 'custom', message: `there is no {${name}} here; there is: ${there}` })
      }
      if (typeof given[0] !== 'string' || given[0] === '' || namesIn(given[0]).length > 0) {
        context.addIssue({ code: 'custom', message: 'must begin with a program' })
      }
    })

export type Word = string | readonly string[]

export function namesIn(given: Word): readonly string[] {
  const texts = typeof given === 'string' ? [given] : given
  return texts.flatMap((text) => [...text.matchAll(/\{([A-Za-z]+)\}/g)].map(([, name = '']) => name))
}

const pattern = z.string().max(500).refine(isPattern, { message: 'must be a regular expression' })

const field = z.union([z.string(), z.strictObject({ column: z.string(), pattern: pattern.optional() })])

const rows = z.discriminatedUnion('as', [
  z.strictObject({
    as: z.literal('marked').describe('A text in which {mark}, new for each call, ends every column.'),
    columns: z.array(z.string()).min(1).max(100).describe('What the columns are called here, in their order.'),
  }),
  z.strictObject({
    as: z.literal('json').describe('A JSON document.'),
    at: z.array(z.string()).max(10).default([]).describe('The way to its list, or to its jobs by their ids.'),
  }),
  z.strictObject({
    as: z.literal('xml').describe('Elements with elements of text in them.'),
    element: z.string().regex(/^\w+$/).describe('What each job is.'),
  }),
  z.strictObject({
    as: z
      .literal('paragraphs')
      .describe('Lines of a name and a value; a line that begins with == is between two jobs.'),
  }),
])

const state = z.strictObject({
  column: z.string().describe('Which column is looked at.'),
  matches: pattern.describe('The first that matches decides.'),
  is: z
    .enum([
      'PENDING',
      'CONFIGURING',
      'RUNNING',
      'SUSPENDED',
      'COMPLETING',
      'COMPLETED',
      'FAILED',
      'CANCELLED',
      'TIMEOUT',
      'OUT_OF_MEMORY',
      'NODE_FAIL',
      'PREEMPTED',
    ])
    .optional()
    .describe("In SLURM's words. Absent: what the column says is such a word."),
  words: z.string().max(500).optional().describe('Why it waits, in a sentence for its user.'),
})

const jobsFormat = z.strictObject({
  rows,
  fields: z.strictObject({
    jobId: field,
    name: field,
    user: field,
    uid: field.optional(),
    comment: field.optional(),
    reason: field.optional(),
    partition: field.optional(),
    host: field.optional(),
    start: field.optional(),
    end: field.optional(),
    exit: field.optional(),
    signal: field.optional(),
    priority: field.optional(),
    account: field.optional(),
    qos: field.optional(),
    tres: field.optional(),
  }),
  states: z.array(state).min(1).max(100),
})

export type JobsFormat = z.output<typeof jobsFormat>
export type Field = z.output<typeof field>

const refusal = z.strictObject({
  says: pattern.describe('In what the command says, whatever its case.'),
  number: z.int().min(2_000).max(2_999).optional().describe("SLURM's number for the same, which has its words."),
  words: z.string().max(500).optional().describe('In a sentence for its user, with what to do.'),
})

const variable = z.enum(variables.submit)

export const templateSchema = z.strictObject({
  title: z.string().min(1).max(50).describe('What its users call it.'),
  submit: words('submit').describe("Submits the script on its standard input, as the user; prints the job's number."),
  jobId: pattern.default(String.raw`(\d+)`).describe("Where that number is: the pattern's first group."),
  cancel: words('cancel').describe('Ends a job, as the user.'),
  gone: z.array(pattern).max(20).default([]).describe('What cancel says of a job that is not there any more.'),
  list: words('list').describe("Every job of everybody, in one call, as the hub's own account."),
  // A claim is good soon after its job's start, once for each start.
  listed: jobsFormat
    .refine(({ fields }) => fields.start !== undefined, { message: 'must have a field start' })
    .describe('How the list is read.'),
  ended: words('ended').optional().describe('How jobs ended that the list does not have any more.'),
  endings: jobsFormat.optional().describe('How that is read.'),
  none: z.array(pattern).max(20).default([]).describe('What that command says when there are none.'),
  lag: duration.prefault('0s').describe('How long it may take until an end is written down.'),
  nodes: words('nodes').optional().describe('Where each node is reached: {mark} after its name and after its address.'),
  extend: words('extend').optional().describe("Sets a running job's whole time, as the hub's own account."),
  limits: z
    .strictObject({
      associations: words('limits').describe(
        'Lines of account|user|its parent|qos,qos|TRES of all its jobs|jobs of an account|jobs of a user|longest time, as sacctmgr has them.',
      ),
      qos: words('limits').describe('Lines of name|TRES of each user|jobs of each user|longest time.'),
    })
    .optional()
    .describe(
      'What people may have, for the launch page; what is in use of it needs account, qos and tres of each job.',
    ),
  check: words('check').describe('Succeeds while the system answers.'),
  refusals: z
    .array(refusal)
    .max(100)
    .default([])
    .describe('When submit will never succeed, however often it is tried.'),
  escapes: z
    .partialRecord(variable, z.record(z.string().length(1), z.string().max(10)))
    .default({})
    .describe('Characters that mean something to the system, and what is written for them.'),
  forbidden: z
    .partialRecord(variable, z.string().max(50))
    .default({})
    .describe('Characters that mean something to the system and can not be written.'),
  openScripts: z
    .boolean()
    .default(false)
    .describe("Whether others can read jobs' scripts: then the key goes into a file in the user's home."),
})

export type Template = z.output<typeof templateSchema>

function isPattern(text: string): boolean {
  try {
    return new RegExp(text) instanceof RegExp
  } catch {
    return false // and that is said
  }
}
