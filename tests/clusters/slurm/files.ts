/** The cluster's configuration as text. Pure. */

export interface ClusterFiles {
  readonly folder: string
  readonly hostname: string
  readonly nodes: readonly Readonly<{ name: string; port: number }>[]
  readonly ports: Readonly<{ slurmctld: number; slurmdbd: number }>
  /** How long slurmctld keeps what has ended. */
  readonly minJobAgeSeconds: number
  /** Whether control groups can be used here. */
  readonly cgroups: boolean
}

export function slurmConf(files: ClusterFiles): string {
  const { folder, hostname, nodes, ports, minJobAgeSeconds, cgroups } = files
  const names = nodes.map(({ name }) => name)
  return `
ClusterName=hutch
SlurmctldHost=${hostname}(127.0.0.1)
SlurmctldPort=${ports.slurmctld}
SlurmUser=slurm
AuthType=auth/munge
AuthInfo=socket=${folder}/run/munge/s
CredType=cred/munge
AuthAltTypes=auth/jwt
AuthAltParameters=jwt_key=${folder}/etc/jwt.key
StateSaveLocation=${folder}/spool/slurmctld
SlurmdSpoolDir=${folder}/spool/%n
SlurmctldPidFile=${folder}/run/slurm/slurmctld.pid
SlurmdPidFile=${folder}/run/slurmd.%n.pid
SlurmctldLogFile=${folder}/log/slurmctld.log
SlurmdLogFile=${folder}/log/slurmd.%n.log
SlurmctldDebug=info
SlurmdDebug=info
SlurmdParameters=config_overrides
ProctrackType=${cgroups ? 'proctrack/cgroup' : 'proctrack/linuxproc'}
TaskPlugin=${cgroups ? 'task/cgroup' : 'task/none'}
JobAcctGatherType=${cgroups ? 'jobacct_gather/cgroup' : 'jobacct_gather/linux'}
JobAcctGatherFrequency=task=2
${cgroups ? '' : 'JobAcctGatherParams=OverMemoryKill'}
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=2,batch_sched_delay=0,sched_min_interval=0
ReturnToService=2
EnforcePartLimits=ALL
JobRequeue=0
MinJobAge=${minJobAgeSeconds}
KillWait=3
OverTimeLimit=0
InactiveLimit=0
SlurmdTimeout=300
MaxJobCount=20000
MailProg=/bin/true
DefMemPerCPU=256
GresTypes=gpu
Licenses=code:2
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=${ports.slurmdbd}
AccountingStoragePass=${folder}/run/munge/s
AccountingStorageEnforce=associations,limits,qos
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment,job_script
PriorityType=priority/multifactor
${nodes
  .map(
    ({ name, port }) =>
      `NodeName=${name} NodeHostname=${hostname} NodeAddr=127.0.0.1 Port=${port} CPUs=64 RealMemory=64000 Gres=gpu:tiny:2 Feature=fast State=UNKNOWN`,
  )
  .join('\n')}
PartitionName=main Nodes=${names.join(',')} Default=YES MaxTime=1-0 DefaultTime=60 PriorityTier=10 State=UP
PartitionName=gpu Nodes=${names.at(-1)} MaxTime=1-0 DefaultTime=60 PriorityTier=10 State=UP
PartitionName=short Nodes=${names.join(',')} MaxTime=60 DefaultTime=10 PriorityTier=10 State=UP
PartitionName=spare Nodes=${names.join(',')} MaxTime=1-0 DefaultTime=60 PriorityTier=1 PreemptMode=CANCEL State=UP
`
}

export function slurmdbdConf({ folder, ports }: ClusterFiles): string {
  return `
AuthType=auth/munge
AuthInfo=socket=${folder}/run/munge/s
AuthAltTypes=auth/jwt
AuthAltParameters=jwt_key=${folder}/etc/jwt.key
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=${ports.slurmdbd}
SlurmUser=slurm
LogFile=${folder}/log/slurmdbd.log
PidFile=${folder}/run/slurm/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=slurm
StorageLoc=slurm_acct
DebugLevel=info
`
}

export function gresConf({ folder, nodes }: ClusterFiles): string {
  return nodes.map(({ name }) => `NodeName=${name} Name=gpu Type=tiny File=${folder}/dev/nvidia[0-1]\n`).join('')
}

export const cgroupConf = `
CgroupPlugin=cgroup/v1
CgroupMountpoint=/sys/fs/cgroup
CgroupAutomount=no
ConstrainCores=no
ConstrainRAMSpace=yes
ConstrainSwapSpace=yes
AllowedSwapSpace=0
MinRAMSpace=30
`
