{{- define "hutch.name" -}}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{- end -}}

{{- define "hutch.selector" -}}
app.kubernetes.io/name: hutch
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "hutch.labels" -}}
{{ include "hutch.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{/* "true": every user or group has a namespace of their own. */}}
{{- define "hutch.many" -}}
{{- if regexMatch "\\{(owner|gid)\\}" .Values.environments.namespace }}true{{ end -}}
{{- end -}}

{{- define "hutch.agents" -}}
{{- .Values.agents.address | default (printf "%s-agents.%s.svc" (include "hutch.name" .) .Release.Namespace) -}}
{{- end -}}

{{/* Hutch's whole configuration: what the chart says, and over it what the facility says. */}}
{{- define "hutch.configuration" -}}
{{- $peers := dict "pod" (include "hutch.selector" . | fromYaml) "namespace" (dict "kubernetes.io/metadata.name" .Release.Namespace) -}}
{{- $cluster := dict "type" "kubernetes"
  "namespace" .Values.environments.namespace
  "createNamespaces" (eq (include "hutch.many" .) "true")
  "podSecurity" .Values.environments.podSecurity
  "proxySelector" $peers
  "reachable" .Values.environments.reachable
  "agent" (dict "from" .Values.images.agentFrom "image" .Values.images.agent) -}}
{{- $database := dict "type" "sqlite" -}}
{{- if eq .Values.database.type "postgresql" -}}
{{- $database = dict "type" "postgresql" "host" .Values.database.host "port" (int .Values.database.port) "database" .Values.database.name "user" .Values.database.user "tls" .Values.database.tls "passwordFile" "/etc/hutch/database/password" -}}
{{- end -}}
{{- $own := dict
  "hub" (dict "id" .Release.Name)
  "state" "/var/lib/hutch/state"
  "listen" "0.0.0.0:8000"
  "publicUrl" .Values.publicUrl
  "database" $database
  "environments" (dict "outliveHub" true)
  "agents" (dict "listen" (printf "0.0.0.0:%d" (int .Values.agents.port)) "advertise" (include "hutch.agents" .))
  "proxy" (dict "managed" false "control" "0.0.0.0:9001")
  "metrics" (dict "listen" "0.0.0.0:9000")
  "spawners" (dict "cluster" (mergeOverwrite $cluster (deepCopy .Values.environments.spawner))) -}}
{{- mergeOverwrite $own (deepCopy .Values.configuration) | toJson -}}
{{- end -}}

{{- define "hutch.hub" -}}
{{- $id := (include "hutch.configuration" . | fromJson).hub.id -}}
{{- if not (regexMatch "^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$" $id) }}{{ fail (printf "configuration.hub.id %q can't be a label's value" $id) }}{{ end -}}
{{- $id -}}
{{- end -}}
