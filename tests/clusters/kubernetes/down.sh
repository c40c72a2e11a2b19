#!/usr/bin/env bash
# Tears everything of up.sh down: pods, processes (by pid), mounts, netns, bridge, cgroups, state.
. "$(dirname "$0")/env.sh"
[ -d "$RUN" ] || exit 0
alive() { [ -n "$1" ] && kill -0 "$1" 2>/dev/null && ! grep -q "^State:.Z" "/proc/$1/status" 2>/dev/null; }
stop() { local p; p=$(cat "$RUN/pid/$1" 2>/dev/null) || return 0; kill "${2:--TERM}" "$p" 2>/dev/null; for _ in $(seq 50); do alive "$p" || return 0; sleep 0.1; done; kill -KILL "$p" 2>/dev/null; }
# polite first: let the kubelet remove the pods (CNI DEL, volumes), at most 20 s
if alive "$(cat "$RUN/pid/kubelet" 2>/dev/null)" && alive "$(cat "$RUN/pid/kube-apiserver" 2>/dev/null)"; then
  timeout 20 "$hyperkube" kubectl delete pods -A --all --grace-period=1 --wait=true >/dev/null 2>&1
fi
ns=$(cat "$RUN"/ctd-state/io.containerd.runtime.v2.task/k8s.io/*/config.json 2>/dev/null | grep -o '/var/run/netns/cni-[a-z0-9-]*' | sort -u)
stop kubelet
# containers: kill every task, then wait for the shims to go
if [ -S "$containerd_socket" ]; then
  for c in $(ctr tasks ls -q 2>/dev/null); do ctr tasks kill -s KILL -a "$c" 2>/dev/null; done
  for _ in 1 2 3 4 5; do
    left=$(ctr containers ls -q 2>/dev/null); [ -z "$left" ] && break
    for c in $left; do ctr tasks rm -f "$c" >/dev/null 2>&1; ctr containers rm "$c" >/dev/null 2>&1; done
    sleep 0.2
  done
fi
for n in kwok kube-proxy kube-scheduler kube-controller-manager kube-apiserver; do stop $n; done
stop etcd; stop containerd
# left-over shims of this containerd only (their command line carries our socket)
for p in /proc/[0-9]*; do { tr '\0' ' ' < $p/cmdline; } 2>/dev/null | grep -q "^[^ ]*containerd-shim-runc-v2 .*-address $containerd_socket" && kill -KILL "${p#/proc/}" 2>/dev/null; done
# mounts below r/, deepest first
awk '{print $5}' /proc/self/mountinfo | grep "^$RUN/" | sort -r | while read -r m; do umount -l "$(printf '%b' "$m")"; done
# network namespaces that hang on our bridge: veth peers go with the bridge ports
for v in $(ls /sys/class/net/$bridge/brif 2>/dev/null); do ip link del "$v" 2>/dev/null; done
ip link del $bridge 2>/dev/null
if command -v iptables >/dev/null; then for d in -i -o; do while iptables -D FORWARD $d $bridge -j ACCEPT 2>/dev/null; do :; done; done; fi
# (only its own: another cluster may have one)
if [ -e "$RUN/pid/kube-proxy" ]; then for f in ip ip6; do nft delete table $f kube-proxy 2>/dev/null; done; fi
for f in $ns; do for _ in 1 2 3; do umount -l "$f" 2>/dev/null; rm -f "$f" 2>/dev/null; [ -e "$f" ] || break; sleep 0.2; done; done
# what the kubelet leaves outside its root dir
for l in /var/log/containers/*; do case $(readlink "$l") in "$RUN"/*) rm -f "$l";; esac; done
rm -f /var/lib/kubelet/device-plugins/kubelet.sock
# (another cluster's kubelet makes its own again)
if command -v iptables >/dev/null; then for c in iptables ip6tables; do for d in INPUT OUTPUT; do while $c -D $d -j KUBE-FIREWALL 2>/dev/null; do :; done; done; for k in KUBE-FIREWALL KUBE-KUBELET-CANARY; do $c -F $k 2>/dev/null; $c -X $k 2>/dev/null; done; for k in KUBE-IPTABLES-HINT KUBE-KUBELET-CANARY; do $c -t mangle -F $k 2>/dev/null; $c -t mangle -X $k 2>/dev/null; done; done; fi
# cgroups of the pods
find /sys/fs/cgroup/*/$cgroup -depth -type d -exec rmdir {} + 2>/dev/null
rm -rf --one-file-system "$RUN"
[ ! -e "$RUN" ]
