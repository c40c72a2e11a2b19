#!/usr/bin/env bash
# Builds a throw-away Kubernetes from its Go modules into a folder: `hyperkube` (all components and kubectl in one
# binary) and `pause`. About ten minutes on two cores, once: tests/support keeps the folder by the hash of go.sum.
# build.sh FOLDER
set -euo pipefail
folder=$1
cd "$(dirname "$0")/binaries"
version=$(awk '$1 == "require" && $2 == "k8s.io/kubernetes" { print $3 } $1 == "k8s.io/kubernetes" { print $2 }' go.mod | head -1)
minor=${version#v*.}
flags="-s -w"
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  # Without a version, kubelet and API server refuse each other.
  flags+=" -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}"
  flags+=" -X $package.gitTreeState=clean -X $package.gitCommit=0000000000000000000000000000000000000000"
  flags+=" -X $package.buildDate=2026-01-01T00:00:00Z"
done
mkdir -p "$folder"
export CGO_ENABLED=0
go build -trimpath -buildvcs=false -ldflags "$flags" -o "$folder/hyperkube.new" .
go build -trimpath -buildvcs=false -ldflags "-s -w" -o "$folder/pause" ./pause
mv "$folder/hyperkube.new" "$folder/hyperkube"
