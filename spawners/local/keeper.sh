#!/bin/sh
# Keeps one environment alive without the hub: starts it, bounds its log, notes how it ended. One per environment;
# it and what it waits with need about 2 MB.
#
#   keeper.sh sandboxed|open "CGROUP.PROCS FILES" COMMAND…     in the folder of one attempt to start it
#
# Standard input: the agent's bootstrap on one line, which is the word to begin. Without a whole line nothing is ever
# started, so a hub that was killed in between leaves nothing behind. The state is one file whose name tells it and
# which is only ever renamed, because renaming works on a full disk too: `running`, then `ended.<exit code>`. Its
# mtime is the start, its ctime the end.
mode=$1
groups=$2
shift 2
umask 077
IFS= read -r bootstrap || exit 1
exec </dev/null

# The newest 1 to 2 MiB of what is printed: in `log`, and before that in `log.old`. dd writes what it reads at once,
# where head and others hold it back. On a full disk the log is lost, and the environment goes on.
keep_newest() {
  size=0
  while dd bs=65536 count=16 2>/dev/null >>log; do
    now=$(($(wc -c <log)))
    [ "$now" -eq "$size" ] && return
    size=$now
    if [ "$size" -ge 1048576 ]; then
      mv -f log log.old && : >log || break
      size=0
    fi
  done
  cat >/dev/null
}

mkfifo -m 600 pipe && : >log || exit 1
keep_newest <pipe &
logger=$!
exec 3>&2 >pipe 2>&1
rm -f pipe
: >running || exit 1
exec 3>&-

printf '%s\n' "$bootstrap" | (
  unset bootstrap
  ulimit -c 0
  for file in $groups; do
    echo 0 >"$file" || exit 125
  done
  # When memory is short, this goes before the hub does.
  echo 500 2>/dev/null >/proc/self/oom_score_adj || :
  [ ! -e sandbox ] || exec 3<sandbox
  exec "$@"
)
code=$?

exec >/dev/null 2>&1
# Outside of a sandbox something may have been left behind that holds the log open.
[ "$mode" = open ] || wait "$logger"
mv running "ended.$code"
