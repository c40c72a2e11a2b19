/** What a Grid Engine of one machine is told: as its installer would, without its questions. */

export function bootstrap(folder: string): string {
  return `admin_user sgeadmin
default_domain none
ignore_fqdn false
spooling_method classic
spooling_lib libspoolc
spooling_params ${folder}/default/common;${folder}/spool/qmaster
binary_path /usr/sbin
qmaster_spool_dir ${folder}/spool/qmaster
security_mode none
listener_threads 2
worker_threads 2
scheduler_threads 1
`
}

/** Debian's, quicker. */
export function configuration(usual: string, folder: string): string {
  const own: Readonly<Record<string, string>> = {
    execd_spool_dir: `${folder}/spool/execd`,
    mailer: '/bin/true',
    load_report_time: '00:00:01',
    reporting_params: 'accounting=true reporting=false flush_time=00:00:01 accounting_flush_time=00:00:00 joblog=false',
  }
  return usual
    .split('\n')
    .map((line) => {
      const [name = ''] = line.split(/\s/, 1)
      return own[name] === undefined ? line : `${name} ${own[name]}`
    })
    .join('\n')
}

export function scheduler(usual: string): string {
  const own = ['schedule_interval 0:0:1', 'flush_submit_sec 1', 'flush_finish_sec 1', 'job_load_adjustments NONE']
  const names = new Set(own.map((line) => line.split(' ')[0]))
  const rest = usual.split('\n').filter((line) => !names.has(line.split(/\s/, 1)[0] ?? ''))
  return [...own, ...rest].join('\n')
}

export const hostGroup = (host: string): string => `group_name @allhosts\nhostlist ${host}\n`

export function executionHost(host: string): string {
  const none = 'load_scaling complex_values user_lists xuser_lists projects xprojects usage_scaling report_variables'
  return [`hostname ${host}`, ...none.split(' ').map((name) => `${name} NONE`), ''].join('\n')
}

/** Takes whatever fits into its slots. */
export function queue(): string {
  const endless = 'rt cpu fsize data stack core rss vmem'.split(' ').flatMap((each) => [`s_${each}`, `h_${each}`])
  const none =
    'load_thresholds suspend_thresholds ckpt_list prolog epilog starter_method suspend_method resume_method terminate_method owner_list user_lists xuser_lists subordinate_list complex_values projects xprojects calendar'
  return [
    'qname all.q',
    'hostlist @allhosts',
    'seq_no 0',
    'nsuspend 1',
    'suspend_interval 00:05:00',
    'priority 0',
    'min_cpu_interval 00:05:00',
    'processors UNDEFINED',
    'qtype BATCH INTERACTIVE',
    'pe_list smp',
    'rerun FALSE',
    'slots 64',
    'tmpdir /tmp',
    'shell /bin/bash',
    'shell_start_mode unix_behavior',
    'notify 00:00:03',
    'initial_state default',
    ...none.split(' ').map((name) => `${name} NONE`),
    ...endless.map((name) => `${name} INFINITY`),
    '',
  ].join('\n')
}
