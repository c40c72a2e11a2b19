/** SLURM by its commands: for sites without slurmrestd. 22.05 was tried. */
import type { z } from 'zod'
import type { templateSchema } from './template.ts'

/** What is called what here → squeue's name of it. */
const columns = {
  jobId: 'JobID',
  uid: 'UserID',
  user: 'UserName',
  state: 'State',
  reason: 'Reason',
  partition: 'Partition',
  host: 'BatchHost',
  start: 'StartTime',
  end: 'EndTime',
  priority: 'PriorityLong',
  account: 'Account',
  qos: 'QOS',
  tres: 'tres-alloc',
  comment: 'Comment',
  name: 'Name',
} as const
const sacctmgr = ['sacctmgr', '--noheader', '--parsable2', 'show'] as const
const endColumns = ['jobId', 'name', 'user', 'state', 'exit', 'start', 'end', 'partition', 'host']

export const slurmTemplate = {
  title: 'SLURM',
  submit: [
    'sbatch',
    '--parsable',
    '--dependency=singleton',
    '--job-name={name}',
    '--comment={comment}',
    '--chdir={directory}',
    '--output={output}',
    // Nothing of the hub's own environment; the shell reads the user's profile from HOME.
    '--export=HOME={home},USER={user},PATH={path}',
    '--ntasks={tasks}',
    '--cpus-per-task={cpus}',
    '--mem={memoryMegabytes}M',
    '--time={minutes}',
    '--nodes={nodes}',
    '--gres=gpu:{gpu}',
    '--partition={partition}',
    '--account={account}',
    '--qos={qos}',
    '--reservation={reservation}',
    '--constraint={constraint}',
    '--licenses={licenses}',
    '--exclusive{exclusive}',
  ],
  cancel: ['scancel', '{job}'],
  gone: ['Invalid job id', 'already completed'],
  // What ended is told by the accounting, with how.
  // A field without a width is not cut.
  list: [
    'squeue',
    '--noheader',
    '--all',
    `--Format=${Object.values(columns)
      .map((name) => `${name}:{mark}`)
      .join()}`,
  ],
  listed: {
    rows: { as: 'marked', columns: Object.keys(columns) },
    fields: {
      jobId: 'jobId',
      name: 'name',
      user: 'user',
      uid: 'uid',
      comment: 'comment',
      reason: 'reason',
      partition: 'partition',
      host: 'host',
      start: 'start',
      end: 'end',
      priority: 'priority',
      account: 'account',
      qos: 'qos',
      tres: 'tres',
    },
    states: [{ column: 'state', matches: '.' }],
  },
  ended: [
    'sacct',
    '--noheader',
    '--allusers',
    '--allocations',
    '--parsable',
    '--delimiter={mark}',
    '--starttime={since}',
    '--name={names}',
    '--format=JobIDRaw,JobName,User,State,ExitCode,Start,End,Partition,NodeList',
  ],
  endings: {
    rows: { as: 'marked', columns: endColumns },
    fields: {
      jobId: 'jobId',
      name: 'name',
      user: 'user',
      partition: 'partition',
      host: 'host',
      start: 'start',
      end: 'end',
      exit: { column: 'exit', pattern: String.raw`^(\d+):` },
      signal: { column: 'exit', pattern: String.raw`:(\d+)$` },
    },
    // "CANCELLED by 1000"
    states: [{ column: 'state', matches: '.' }],
  },
  lag: '10s',
  nodes: ['sinfo', '--noheader', '--Node', '--format=%N{mark}%o{mark}'],
  extend: ['scontrol', 'update', 'jobid={job}', 'timelimit={minutes}'],
  limits: {
    associations: [...sacctmgr, 'associations', 'format=Account,User,ParentName,QOS,GrpTRES,GrpJobs,MaxJobs,MaxWall'],
    qos: [...sacctmgr, 'qos', 'format=Name,MaxTRESPU,MaxJobsPU,MaxWall'],
  },
  check: ['scontrol', 'ping'],
  // slurm_strerror() of the numbers in slurm_errno.h.
  refusals: [
    { says: 'invalid partition name specified', number: 2000 },
    { says: 'no partition specified or system default partition', number: 2001 },
    { says: 'user not in group|not authorized to use.*partition', number: 2003 },
    { says: 'requested node configuration is not available', number: 2014 },
    { says: 'requested partition configuration not available|more processors requested than permitted', number: 2015 },
    { says: 'node count specification invalid', number: 2006 },
    { says: 'invalid feature specification', number: 2029 },
    { says: 'invalid account or account/partition', number: 2045 },
    { says: 'invalid license', number: 2048 },
    { says: 'violates accounting(/qos)? policy', number: 2050 },
    { says: 'requested time limit is invalid', number: 2051 },
    { says: 'reservation', number: 2052 },
    { says: 'invalid qos', number: 2066 },
    { says: 'invalid generic resource', number: 2072 },
    { says: "invalid user id|user's group", words: 'SLURM does not know you as the hub does. Ask your administrator.' },
  ],
  escapes: { output: { '%': '%%' }, directory: { '%': '%%' } },
  // What stands in a list of variables.
  forbidden: { home: ',', path: ',', user: ',' },
} satisfies z.input<typeof templateSchema>
