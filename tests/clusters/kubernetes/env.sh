# Sourced by up.sh and down.sh. Given: RUN (a private folder for everything that runs), BINARIES (hyperkube, pause),
# SLOT (0 to 99: ports, bridge and pod network of this cluster alone).
: "${RUN:?}" "${BINARIES:?}" "${SLOT:=0}"
hyperkube=$BINARIES/hyperkube
node=node1
bridge=hutchk8s$SLOT
cgroup=hutchk8s$SLOT
gateway=10.$((100 + SLOT)).0.1 # the bridge's address, the node's, and the one that the API server advertises
pods=10.$((100 + SLOT)).0.0/24
services=10.96.0.0/16
base=$((21000 + SLOT * 20))
etcd_port=$base etcd_peer=$((base + 1)) api_port=$((base + 2)) kubelet_port=$((base + 3)) kubelet_health=$((base + 4))
manager_port=$((base + 5)) scheduler_port=$((base + 6)) proxy_health=$((base + 7)) proxy_metrics=$((base + 8))
kwok_port=$((base + 9))
api=https://127.0.0.1:$api_port
export KUBECONFIG=$RUN/admin.kubeconfig
containerd_socket=$RUN/containerd.sock
ctr() { command ctr -a "$containerd_socket" -n k8s.io "$@"; }
kubectl() { "$hyperkube" kubectl "$@"; }
