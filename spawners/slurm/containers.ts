/** Within which container an agent runs, as lines of its job's script: on the node, as the user, without root. Pure. */
import { groupFile, passwdFile } from '../common/accountFiles.ts'
import { quoted } from '../common/quoted.ts'
import type { Account } from '../spawner.ts'
import type { Container } from './config.ts'
import type { ContainerLines } from './script.ts'

/** A directory as every node sees it, and where the environment sees it. */
export interface Bind {
  readonly source: string
  readonly target: string
  readonly readOnly: boolean
}

export interface ContainerView {
  readonly container: Container | undefined
  readonly account: Account
  readonly binds: readonly Bind[]
  readonly agentFolder: string
  readonly gpus: number
}

export function containerLines(view: ContainerView): ContainerLines {
  switch (view.container?.type) {
    case undefined:
      return { before: [], command: `${quoted(`${view.agentFolder}/agent`)} --claim -`, texts: {} }
    case 'bubblewrap':
      return bubblewrap(view, view.container.image)
    case 'charliecloud':
      return charliecloud(view, view.container.image)
    case 'apptainer':
      return apptainer(view, view.container.image)
  }
}

/** Where the agent is seen inside. */
const ours = '/run/hutch/agent'

/**
 * The image's folders one by one on an empty root, so that there is a place for every bind. /etc/passwd and group are
 * texts of the script: the account's own entries.
 */
function bubblewrap({ account, binds, agentFolder }: ContainerView, image: string): ContainerLines {
  const above = new Set(['proc', 'dev', 'sys', 'tmp', 'run', 'home', 'root', ...binds.map(({ target }) => top(target))])
  const before = [
    'hutch=(--unshare-user --unshare-pid --unshare-ipc --unshare-uts --die-with-parent --new-session)',
    `for entry in ${quoted(image)}/*; do`,
    '  name=${entry##*/}',
    `  case "$name" in ${[...above].map(quoted).join('|')}) continue ;; esac`,
    '  if [ -L "$entry" ]; then hutch+=(--symlink "$(readlink "$entry")" "/$name")',
    '  elif [ -d "$entry" ]; then hutch+=(--ro-bind "$entry" "/$name"); fi',
    'done',
    'hutch+=(--proc /proc --dev /dev --ro-bind /sys /sys --tmpfs /tmp --tmpfs /dev/shm --tmpfs /run)',
    'for device in /dev/nvidia* /dev/dri; do [ -e "$device" ] && hutch+=(--dev-bind "$device" "$device"); done',
    `for file in hosts resolv.conf; do [ -e ${quoted(image)}/etc/"$file" ] && hutch+=(--ro-bind "/etc/$file" "/etc/$file"); done`,
    'hutch+=(--ro-bind-data 8 /etc/passwd --ro-bind-data 9 /etc/group)',
    `hutch+=(--ro-bind ${quoted(agentFolder)} ${ours})`,
    ...binds.map(
      ({ source, target, readOnly }) =>
        `hutch+=(${readOnly ? '--ro-bind' : '--bind'} ${quoted(source)} ${quoted(target)})`,
    ),
    `hutch+=(--remount-ro / --chdir ${quoted(account.home)})`,
  ]
  return {
    before,
    command: `bwrap "\${hutch[@]}" -- ${ours}/agent --claim -`,
    texts: { 8: passwdFile(basePasswd, account), 9: groupFile(baseGroup, account) },
  }
}

/** Its binds need places in the image, and can't be made read-only: there the files' own modes decide. */
function charliecloud({ account, binds, agentFolder }: ContainerView, image: string): ContainerLines {
  const words = [
    'ch-run',
    '--private-tmp',
    ...binds.map(({ source, target }) => `--bind=${source}:${target}`),
    `--bind=${agentFolder}:/mnt`,
    `--cd=${account.home}`,
    image,
    '--',
    '/mnt/agent',
    '--claim',
    '-',
  ]
  return { before: [], command: words.map(quoted).join(' '), texts: {} }
}

function apptainer({ account, binds, agentFolder, gpus }: ContainerView, image: string): ContainerLines {
  const home = binds.find(({ target }) => target === account.home)
  const others = binds.filter((bind) => bind !== home)
  const words = [
    'apptainer',
    'exec',
    '--contain',
    '--pid',
    '--ipc',
    ...(gpus > 0 ? ['--nv'] : []),
    ...(home === undefined ? ['--no-home'] : ['--home', `${home.source}:${home.target}`]),
    ...others.flatMap(({ source, target, readOnly }) => ['--bind', `${source}:${target}${readOnly ? ':ro' : ''}`]),
    '--bind',
    `${agentFolder}:/mnt:ro`,
    '--pwd',
    account.home,
    image,
    '/mnt/agent',
    '--claim',
    '-',
  ]
  return { before: [], command: words.map(quoted).join(' '), texts: {} }
}

function top(path: string): string {
  return path.split('/')[1] ?? ''
}

const basePasswd = 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n'
const baseGroup = 'root:x:0:\nnogroup:x:65534:\n'
