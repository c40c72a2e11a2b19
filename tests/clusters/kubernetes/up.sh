#!/usr/bin/env bash
# Brings up a one-node Kubernetes on this machine: etcd, API server, controller manager, scheduler, containerd,
# kubelet. Needs root. Everything lies in $RUN (logs in log/, pids in pid/, admin.kubeconfig); see env.sh.
# up.sh IMAGE.tar...   are imported into the node; a pause image is made here.
# WITH_PROXY=1 adds kube-proxy (nftables mode: needs the nft command), so that Services work.
# CONTAINERD=FOLDER uses its containerd (2.1 or later) in place of Debian's, and turns image volumes on.
# KWOK=PROGRAM adds kwok, which simulates every node annotated kwok.x-k8s.io/node=fake.
set -euo pipefail
. "$(dirname "$0")/env.sh"
here=$(cd "$(dirname "$0")" && pwd)
say() { printf '%3d s  %s\n' "$SECONDS" "$*"; }
[ -e "$RUN/pid" ] && { echo "already up, or not brought down: $RUN" >&2; exit 1; }
mkdir -p "$RUN"/{log,pid,pki,etcd,ctd,ctd-state,kubelet,podlogs,cni}
cd "$RUN/pki"

# --- PKI, tokens -------------------------------------------------------------
q() { openssl "$@" 2>/dev/null; }
q ecparam -name prime256v1 -genkey -noout -out ca.key
q req -x509 -new -key ca.key -subj /CN=ca -days 30 -out ca.crt -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
cert() { # name subject ext
  q ecparam -name prime256v1 -genkey -noout -out "$1.key"
  q req -new -key "$1.key" -subj "$2" -out "$1.csr"
  printf '%b' "$3" > "$1.ext"
  q x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile "$1.ext" -out "$1.crt"
}
cert apiserver /CN=kube-apiserver "subjectAltName=DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,IP:127.0.0.1,IP:$gateway,IP:${services%.*.*}.0.1\nextendedKeyUsage=serverAuth\n"
cert kubelet-client /O=system:masters/CN=apiserver-kubelet-client "extendedKeyUsage=clientAuth\n"
cert kubelet "/O=system:nodes/CN=system:node:$node" "subjectAltName=DNS:$node,IP:$gateway,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n"
q ecparam -name prime256v1 -genkey -noout -out sa.key
q ec -in sa.key -pubout -out sa.pub
tok() { head -c 24 /dev/urandom | base64 | tr -dc a-zA-Z0-9; }
: > tokens.csv
kubeconf() { # file user groups
  local t; t=$(tok); echo "$t,$2,$2,\"$3\"" >> tokens.csv
  cat > "$1" <<Y
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "$api", certificate-authority: "$RUN/pki/ca.crt"}}]
users: [{name: u, user: {token: "$t"}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
current-context: c
Y
}
kubeconf "$KUBECONFIG" admin system:masters
kubeconf "$RUN/kcm.kubeconfig" system:kube-controller-manager ""
kubeconf "$RUN/sched.kubeconfig" system:kube-scheduler ""
kubeconf "$RUN/proxy.kubeconfig" system:kube-proxy ""
kubeconf "$RUN/kubelet.kubeconfig" "system:node:$node" system:nodes
sed -i 's/,""$//' tokens.csv

# --- network: bridge exists before the first pod, carries the node IP ---------
ip link show "$bridge" >/dev/null 2>&1 || ip link add "$bridge" type bridge
ip addr replace "$gateway/${pods#*/}" dev "$bridge"; ip link set "$bridge" up
echo 1 > /proc/sys/net/ipv4/ip_forward
# a dockerd on the same machine sets the FORWARD policy to DROP (and bridge-nf-call-iptables to 1)
if command -v iptables >/dev/null; then
  for d in -i -o; do iptables -C FORWARD $d "$bridge" -j ACCEPT 2>/dev/null || iptables -I FORWARD $d "$bridge" -j ACCEPT; done
fi
# the first `ip netns add` on a machine bind-mounts /run/netns over itself; done while pods run it hides
# containerd's netns mounts, and their sandboxes can never be removed. So have it done now.
ip netns add k8s-prep && ip netns del k8s-prep
cat > "$RUN/cni/10-bridge.conflist" <<Y
{"cniVersion":"1.0.0","name":"pods","plugins":[
 {"type":"bridge","bridge":"$bridge","isGateway":true,"isDefaultGateway":true,"ipMasq":false,"hairpinMode":true,
  "ipam":{"type":"host-local","dataDir":"$RUN/cni-ipam","ranges":[[{"subnet":"$pods","gateway":"$gateway"}]]}}]}
Y

start() { # name cmd...
  local n=$1; shift
  setsid "$@" >"$RUN/log/$n.log" 2>&1 </dev/null & echo $! > "$RUN/pid/$n"
}
waitfor() { # what seconds cmd...
  local w=$1 s=$2; shift 2
  for _ in $(seq $((s*5))); do "$@" >/dev/null 2>&1 && return 0; sleep 0.2; done
  echo "timeout waiting for $w; see $RUN/log" >&2; return 1
}

# --- containerd ---------------------------------------------------------------
cat > "$RUN/containerd.toml" <<Y
version = 2
root = "$RUN/ctd"
state = "$RUN/ctd-state"
oom_score = 0
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "$containerd_socket"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  tolerate_missing_hugetlb_controller = true
  disable_hugetlb_controller = true
  disable_apparmor = true
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$RUN/cni"
Y
gates=()
if [ -n "${CONTAINERD:-}" ]; then
  PATH=$CONTAINERD:$PATH
  gates=(--feature-gates ImageVolume=true)
fi
start containerd containerd -c "$RUN/containerd.toml"

# --- control plane --------------------------------------------------------------
start etcd "$hyperkube" etcd --name e --data-dir "$RUN/etcd" --unsafe-no-fsync --log-level warn \
  --listen-client-urls "http://127.0.0.1:$etcd_port" --advertise-client-urls "http://127.0.0.1:$etcd_port" \
  --listen-peer-urls "http://127.0.0.1:$etcd_peer" --initial-advertise-peer-urls "http://127.0.0.1:$etcd_peer" \
  --initial-cluster "e=http://127.0.0.1:$etcd_peer"
start kube-apiserver "$hyperkube" kube-apiserver --etcd-servers "http://127.0.0.1:$etcd_port" \
  --bind-address 0.0.0.0 --secure-port $api_port --advertise-address "$gateway" \
  --service-cluster-ip-range "$services" \
  --tls-cert-file apiserver.crt --tls-private-key-file apiserver.key --client-ca-file ca.crt \
  --token-auth-file tokens.csv --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction \
  --service-account-issuer https://kubernetes.default.svc.cluster.local \
  --service-account-key-file sa.pub --service-account-signing-key-file sa.key \
  --kubelet-client-certificate kubelet-client.crt --kubelet-client-key kubelet-client.key \
  --kubelet-certificate-authority ca.crt --kubelet-preferred-address-types InternalIP \
  --allow-privileged=true --profiling=false --event-ttl 30m "${gates[@]}"
waitfor containerd 120 ctr version
say "containerd answers"
(
  mkdir "$RUN/pause" && cp "$BINARIES/pause" "$RUN/pause/" && tar -C "$RUN/pause" --owner=0 --group=0 -cf "$RUN/pause.layer" pause
  python3 "$here/image.py" "$RUN/pause.tar" localhost/pause:1 "$RUN/pause.layer" '{"Entrypoint":["/pause"]}'
  for image in "$RUN/pause.tar" "$@"; do ctr images import "$image" >/dev/null; done
) & importing=$!
waitfor apiserver 300 kubectl get --raw /readyz
say "apiserver ready"
start kube-controller-manager "$hyperkube" kube-controller-manager --kubeconfig "$RUN/kcm.kubeconfig" \
  --authentication-kubeconfig "$RUN/kcm.kubeconfig" --authorization-kubeconfig "$RUN/kcm.kubeconfig" \
  --bind-address 127.0.0.1 --secure-port $manager_port --leader-elect=false --kube-api-qps 1000 --kube-api-burst 2000 \
  --use-service-account-credentials --service-account-private-key-file sa.key --root-ca-file ca.crt \
  --pvclaimbinder-sync-period 2s --resource-quota-sync-period 30s
start kube-scheduler "$hyperkube" kube-scheduler --kubeconfig "$RUN/sched.kubeconfig" \
  --authentication-kubeconfig "$RUN/sched.kubeconfig" --authorization-kubeconfig "$RUN/sched.kubeconfig" \
  --bind-address 127.0.0.1 --secure-port $scheduler_port --leader-elect=false --kube-api-qps 1000 --kube-api-burst 2000

# --- kubelet ------------------------------------------------------------------
# A kubelet kills what lies in its groups and is not its own: another cluster's pods, too.
for controller in /sys/fs/cgroup/*/; do
  mkdir -p "$controller$cgroup"
  for name in cpuset.cpus cpuset.mems; do
    if [ -e "$controller$name" ]; then cat "$controller$name" >"$controller$cgroup/$name"; fi
  done
done
: > "$RUN/resolv.conf"; echo "nameserver 127.0.0.1" > "$RUN/resolv.conf"
cat > "$RUN/kubelet.yaml" <<Y
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://$containerd_socket
cgroupDriver: cgroupfs
cgroupRoot: /$cgroup
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
address: 0.0.0.0
port: $kubelet_port
readOnlyPort: 0
healthzPort: $kubelet_health
tlsCertFile: $RUN/pki/kubelet.crt
tlsPrivateKeyFile: $RUN/pki/kubelet.key
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $RUN/pki/ca.crt}}
authorization: {mode: Webhook}
resolvConf: $RUN/resolv.conf
podLogsDir: $RUN/podlogs
volumePluginDir: $RUN/kubelet/volplugins
maxPods: 200
evictionHard: {memory.available: 100Mi, nodefs.available: "1%", imagefs.available: "1%", nodefs.inodesFree: "1%", imagefs.inodesFree: "1%"}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
nodeStatusUpdateFrequency: 5s
syncFrequency: 30s
kubeAPIQPS: 100
kubeAPIBurst: 200
registryPullQPS: 0
eventRecordQPS: 0
Y
start kubelet "$hyperkube" kubelet --config "$RUN/kubelet.yaml" --kubeconfig "$RUN/kubelet.kubeconfig" \
  --root-dir "$RUN/kubelet" --cert-dir "$RUN/pki/kubelet" --hostname-override $node --node-ip "$gateway" "${gates[@]}"
waitfor node 300 sh -c "'$hyperkube' kubectl get node $node"
waitfor default-sa 300 kubectl get sa default
kubectl wait --for=condition=Ready node/$node --timeout=300s >/dev/null
say "node Ready"
if [ "${WITH_PROXY:-}" = 1 ]; then
  cat > "$RUN/proxy.yaml" <<Y
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clusterCIDR: $pods
hostnameOverride: $node
clientConnection: {kubeconfig: $RUN/proxy.kubeconfig}
conntrack: {maxPerCore: 0}
healthzBindAddress: 127.0.0.1:$proxy_health
metricsBindAddress: 127.0.0.1:$proxy_metrics
Y
  start kube-proxy "$hyperkube" kube-proxy --config "$RUN/proxy.yaml"
fi
if [ -n "${KWOK:-}" ]; then
  start kwok "$KWOK" --kubeconfig "$KUBECONFIG" --manage-all-nodes=false \
    --manage-nodes-with-annotation-selector kwok.x-k8s.io/node=fake --server-address 127.0.0.1:$kwok_port
fi
wait $importing
say "images imported: up"
