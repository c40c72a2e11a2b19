/** Why a job waits, from SLURM's word for it (slurm.h, enum job_state_reason) to a sentence for a scientist. Pure. */

export interface Waiting {
  readonly partition: string
  readonly reason: string
}

const table: Readonly<Record<string, string>> = {
  None: 'It is in the queue.',
  Priority: 'Others are before it in the queue.',
  Resources: 'The machines are busy; it is next when there is room.',
  Nodes_required_for_job_are_DOWN:
    'The machines that it needs are down or reserved. Your administrators know or should.',
  ReqNodeNotAvail: 'The machines that it needs can not be had now: they are down, reserved, or in maintenance.',
  Dependency: 'It waits for another job of yours to end.',
  DependencyNeverSatisfied: 'It waits for another job that will never end well. Stop this one and launch again.',
  BeginTime: 'It may start soon: SLURM tries again in a moment.',
  JobHeldUser: 'You have put it on hold in SLURM. Release it with scontrol release.',
  JobHeldAdmin: 'It is on hold: an administrator, or SLURM after a failed start, holds it. Ask your administrator.',
  launch_failed_requeued_held: 'A node could not start it, and SLURM holds it. Stop it, and ask your administrator.',
  Reservation: 'It waits for its reservation to begin.',
  ReservationDeleted: 'Its reservation was deleted. Stop it and launch again without.',
  Licenses: 'It waits for a licence to become free.',
  PartitionDown: 'This partition does not run jobs now.',
  PartitionInactive: 'This partition takes no jobs now.',
  PartitionNodeLimit: 'It asks for more machines than this partition gives. Choose another size.',
  PartitionTimeLimit: 'It asks for more time than this partition gives. Choose less time.',
  PartitionConfig: 'It asks for what this partition does not give. Choose another one.',
  BadConstraints: 'No machine has what it asks for. Choose another size.',
  AccountNotAllowed: 'Your account may not use this partition. Choose another one.',
  QOSNotAllowed: 'This quality of service may not use this partition. Choose another one.',
  FrontEndDown: 'The machines that start jobs are down.',
  NodeDown: 'The machine that it needs is down.',
  Prolog: 'The machine is being prepared for it.',
  Cleaning: 'The last run of it is being cleaned up.',
  InvalidAccount: 'Its account is not valid. Stop it and choose another one.',
  InvalidQOS: 'Its quality of service is not valid. Stop it and choose another one.',
  QOSTimeLimit: 'It asks for more time than its quality of service gives. Choose less time.',
  AssociationJobLimit: 'You run as many jobs as your account may. It starts when one of them ends.',
  AssociationResourceLimit: 'Your account uses as much as it may. It starts when something of it ends.',
  AssociationTimeLimit: 'Your account has used up its time.',
  SchedDefer: 'The scheduler is busy; it comes next.',
  MaxMemPerLimit: 'It asks for more memory than a machine gives. Choose another size.',
}

/** Whose limit it is, by how SLURM's word begins. */
const limits: readonly (readonly [prefix: RegExp, whose: string])[] = [
  [/^QOSMax.*(PerUser|PU)/, 'You use as much as you may at once'],
  [/^QOSMax.*(PerAccount|PA)/, 'Your account uses as much as it may at once'],
  [/^QOSMax.*PerJob|^QOSMax.*PerNode|^QOSMin/, 'A single job may not have this much here'],
  [/^QOSGrp/, 'All who share this quality of service together use as much as they may'],
  [/^QOS/, 'A limit of this quality of service is reached'],
  [/^AssocGrp/, 'Your account uses as much as it may'],
  [/^AssocMax.*PerJob|^AssocMax.*PerNode/, 'A single job of your account may not have this much'],
  [/^Assoc/, 'You use as much as your account lets you'],
]

const things: readonly (readonly [word: RegExp, thing: string])[] = [
  [/GRES|Gres/, 'GPUs'],
  [/Cpu|CPU/, 'CPUs'],
  [/Mem/, 'memory'],
  [/Node/, 'machines'],
  [/Wall|Minutes|RunMin/, 'time'],
  [/Submit/, 'waiting jobs'],
  [/Job/, 'jobs'],
  [/Billing/, 'budget'],
  [/License/, 'licences'],
]

/** A reason that is not known is shown as SLURM has it. */
export function waitingWords(reason: string, { partition }: Pick<Waiting, 'partition'>): string {
  const key = reason.split(/[,(\s]/, 1)[0] ?? ''
  const known = Object.hasOwn(table, key) ? table[key] : undefined
  if (known !== undefined) return known
  const whose = limits.find(([prefix]) => prefix.test(key))?.[1]
  if (whose === undefined) return `It is in the queue of ${partition} (SLURM says: ${reason}).`
  const thing = things.find(([word]) => word.test(key.replace(/^QOS|PerJob$|PerUser$|PerNode$/g, '')))?.[1]
  const advice = whose.startsWith('A single')
    ? 'Stop it and choose a smaller size.'
    : 'It starts when something of that ends.'
  return `${whose}${thing === undefined ? '' : ` (${thing})`}. ${advice}`
}
