/**
 * Grid Engine (SGE, Son of Grid Engine, Univa, Altair). 8.1.9 was tried. Its nodes' spool folders show everybody
 * everybody's scripts, so the key is in a file. Names of the parallel environment and of the resource for memory are
 * the site's: `submit` is there to be replaced.
 */
import type { z } from 'zod'
import type { templateSchema } from './template.ts'

export const gridEngineTemplate = {
  title: 'Grid Engine',
  submit: [
    'qsub',
    '-terse',
    // Nothing in the script is an option.
    ['-C', ''],
    ['-N', '{name}'],
    ['-S', '/bin/bash'],
    ['-wd', '{directory}'],
    ['-j', 'y'],
    ['-o', '{output}'],
    ['-r', 'n'],
    ['-v', 'HOME={home},USER={user}'],
    ['-pe', 'smp', '{slots}'],
    ['-l', 'h_rt={seconds}'],
    ['-l', 'mem_free={memoryMegabytes}M'],
    ['-l', 'gpu={gpus}'],
    ['-l', '{constraint}'],
    ['-q', '{partition}'],
    ['-P', '{account}'],
    ['-ar', '{reservation}'],
  ],
  jobId: String.raw`^(\d+)`,
  cancel: ['qdel', '{job}'],
  gone: ['does not exist'],
  list: ['qstat', '-xml', '-u', '*'],
  listed: {
    rows: { as: 'xml', element: 'job_list' },
    fields: {
      jobId: 'JB_job_number',
      name: 'JB_name',
      user: 'JB_owner',
      priority: 'JAT_prio',
      start: 'JAT_start_time',
      partition: { column: 'queue_name', pattern: '^([^@]+)' },
      host: { column: 'queue_name', pattern: '@(.+)$' },
    },
    states: [
      { column: 'state', matches: '^d', is: 'COMPLETING' },
      {
        column: 'state',
        matches: '^E',
        is: 'PENDING',
        words: 'A node could not start it, and Grid Engine holds it. Stop it, and ask your administrator.',
      },
      {
        column: 'state',
        matches: '^h',
        is: 'PENDING',
        words: 'It is on hold: you, an administrator or another job of yours holds it.',
      },
      { column: 'state', matches: '^(qw|Rq|w)', is: 'PENDING', words: 'It is in the queue.' },
      { column: 'state', matches: '^t', is: 'CONFIGURING' },
      { column: 'state', matches: '^(s|S|T)', is: 'SUSPENDED' },
      { column: 'state', matches: 'r', is: 'RUNNING' },
    ],
  },
  ended: ['qacct', '-b', '{sinceMinute}', '-j', '{prefix}*'],
  endings: {
    rows: { as: 'paragraphs' },
    fields: {
      jobId: 'jobnumber',
      name: 'jobname',
      user: 'owner',
      partition: 'qname',
      host: 'hostname',
      start: 'start_time',
      end: 'end_time',
      exit: 'exit_status',
    },
    states: [
      { column: 'failed', matches: '^37 ', is: 'TIMEOUT' },
      { column: 'exit_status', matches: '^[1-9]', is: 'FAILED' },
      { column: 'failed', matches: '^[1-9]', is: 'FAILED' },
      { column: 'exit_status', matches: '^0', is: 'COMPLETED' },
    ],
  },
  none: ['not found'],
  // The master writes its accounting every fifteen seconds unless it is told otherwise.
  lag: '1min',
  check: ['qconf', '-sss'],
  refusals: [
    { says: 'unknown queue', number: 2000 },
    { says: 'unknown resource', words: 'This cluster does not know what it asks for. Choose another size.' },
    { says: 'requested project', number: 2045 },
    { says: 'no suitable queues', number: 2014 },
    {
      says: 'parallel environment',
      words: 'This cluster does not know its parallel environment. Ask your administrator.',
    },
    { says: 'job (was )?rejected' },
  ],
  forbidden: {
    // A host stands before a colon, a variable behind a dollar.
    output: ':$,',
    directory: ':$,',
    home: ',',
    user: ',',
    constraint: ' ',
  },
  openScripts: true,
} satisfies z.input<typeof templateSchema>
