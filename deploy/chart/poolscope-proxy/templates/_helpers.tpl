{{- define "poolscope.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{- define "poolscope.fullname" -}}
{{- $name := include "poolscope.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "poolscope.selector" -}}
app.kubernetes.io/name: {{ include "poolscope.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "poolscope.labels" -}}
{{ include "poolscope.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "poolscope.serviceAccount" -}}
{{- if or .Values.serviceAccount.create .Values.serviceAccount.name -}}
{{- default (include "poolscope.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- fail "serviceAccount.name: name the ServiceAccount, or set serviceAccount.create" -}}
{{- end -}}
{{- end }}

{{- define "poolscope.image" -}}
{{- $repository := required "image.repository: name the image that `make image` builds" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end }}

{{- /* The folder of the kubeconfig as agents see it. */ -}}
{{- define "poolscope.clientDirAsSeen" -}}
{{- default .Values.clientDir .Values.clientDirAsSeen -}}
{{- end }}

{{- /* The membership, with the defaults of docs/config.md: {"kind": ..., "label": ...} as JSON. The
       label is the Node label with the pool's name, or empty. */ -}}
{{- define "poolscope.membership" -}}
{{- $config := .Values.config -}}
{{- $dialect := default "openyurt" $config.dialect -}}
{{- $membership := $config.membership -}}
{{- if not $membership -}}
  {{- if eq $dialect "kubeedge" -}}
    {{- $membership = dict "nodeLabel" "apps.kubeedge.io/belonging-to" -}}
  {{- else if eq $dialect "poolscope" -}}
    {{- $membership = dict "nodeLabel" "topology.kubernetes.io/zone" -}}
  {{- else if eq $dialect "superedge" -}}
    {{- $membership = "nodeLabels" -}}
  {{- else -}}
    {{- $membership = "nodePool" -}}
  {{- end -}}
{{- end -}}
{{- if kindIs "map" $membership -}}
  {{- $kind := keys $membership | first -}}
  {{- dict "kind" $kind "label" (get $membership $kind) | toJson -}}
{{- else if has $membership (list "nodePool" "nodeBucket") -}}
  {{- dict "kind" $membership "label" "apps.openyurt.io/nodepool" | toJson -}}
{{- else -}}
  {{- dict "kind" $membership "label" "" | toJson -}}
{{- end -}}
{{- end }}

{{- define "poolscope.poolLabel" -}}
{{- $label := default (include "poolscope.membership" . | fromJson).label .Values.poolLabel -}}
{{- required "poolLabel: name the Node label whose value is the pool, because config.membership names none" $label -}}
{{- end }}

{{- /* The kinds of facts that the configuration needs (docs/facts.md), as a JSON object of kind to
       true. */ -}}
{{- define "poolscope.facts" -}}
{{- $config := .Values.config -}}
{{- $rewrites := default dict $config.rewrites -}}
{{- $membership := (include "poolscope.membership" . | fromJson).kind -}}
{{- $topology := ternary true $rewrites.serviceTopology (kindIs "invalid" $rewrites.serviceTopology) -}}
{{- /* Node port isolation needs the name of the own pool, which `pool` gives. */ -}}
{{- $ownPool := and $rewrites.nodePortIsolation (not $config.pool) -}}
{{- $facts := dict -}}
{{- if $topology -}}
  {{- $_ := set $facts "services" true -}}
  {{- if eq $membership "nodePool" }}{{ $_ := set $facts "nodepools" true }}{{ end -}}
  {{- if eq $membership "nodeBucket" }}{{ $_ := set $facts "nodebuckets" true }}{{ end -}}
{{- end -}}
{{- if or $topology $ownPool -}}
  {{- if eq $membership "ciliumNodeLabel" -}}
    {{- $_ := set $facts "ciliumnodes" true -}}
  {{- else if has $membership (list "nodeLabel" "nodeLabels") -}}
    {{- $_ := set $facts "nodes" true -}}
  {{- else if eq $membership "off" -}}
    {{- if $ownPool }}{{ $_ := set $facts "nodes" true }}{{ end -}}
  {{- else if not $config.pool -}}
    {{- $_ := set $facts "nodes" true -}}
  {{- end -}}
{{- end -}}
{{- $rewritten := or $topology $rewrites.nodePortIsolation $rewrites.discardCloudService $rewrites.masterService $rewrites.forwardKubernetesService -}}
{{- if and (eq (default "all" $config.clients) "yurtHub") $rewritten -}}
  {{- $_ := set $facts "yurtHubConfig" true -}}
{{- end -}}
{{- toJson $facts -}}
{{- end }}

{{- /* Refuses values that contradict each other. */ -}}
{{- define "poolscope.check" -}}
{{- if not .Values.servers -}}
{{- fail "servers: name the API servers as HOST:PORT, because without kube-proxy nothing answers on the Service IP of default/kubernetes before Cilium runs" -}}
{{- end -}}
{{- if .Values.runOnPools -}}
  {{- range .Values.pools -}}
    {{- if not (has . $.Values.runOnPools) -}}
      {{- fail (printf "pools: the proxy does not run in pool %s; add the pool to runOnPools" .) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- if and .Values.podMonitor.enabled (has .Values.health.host (list "127.0.0.1" "[::1]" "localhost")) -}}
{{- fail "podMonitor: Prometheus cannot reach health.host on loopback; set it to $(NODE_IP)" -}}
{{- end -}}
{{- end }}
