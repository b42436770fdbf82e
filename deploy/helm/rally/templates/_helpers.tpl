{{/* The name of what belongs to a component: a dict with root and component. */}}
{{- define "rally.name" -}}
{{ printf "%s-%s" .root.Release.Name .component | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* What pods are selected by. Releases in one namespace are kept apart by the instance. */}}
{{- define "rally.selector" -}}
app.kubernetes.io/name: rally
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{- define "rally.labels" -}}
{{ include "rally.selector" . }}
app.kubernetes.io/part-of: rally
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{/* What all pods have in common: a dict with root, account and user. */}}
{{- define "rally.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
securityContext:
  fsGroup: {{ .user }}
  fsGroupChangePolicy: OnRootMismatch
  runAsGroup: {{ .user }}
  runAsNonRoot: true
  runAsUser: {{ .user }}
  seccompProfile: { type: RuntimeDefault }
serviceAccountName: {{ .account }}
{{- end }}

{{- define "rally.confined" -}}
allowPrivilegeEscalation: false
capabilities: { drop: [ALL] }
readOnlyRootFilesystem: true
{{- end }}

{{- define "rally.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "rally.account" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "rally.name" . }}
  labels: {{ include "rally.labels" . | nindent 4 }}
automountServiceAccountToken: false
{{- end }}

{{/* The Secret of a component. Modes of its files are decimal, since YAML 1.2 knows no octal 0440: 288 is that. */}}
{{- define "rally.secret" -}}
{{ (index .root.Values .component).existingSecret | default (include "rally.name" .) }}
{{- end }}

{{/* A role's settings as a map: the program's defaults, what a cluster in Kubernetes needs, and what values say. */}}
{{- define "rally.settings" -}}
{{- $known := .root.Files.Get (printf "files/%s.yaml" .component) | fromYaml -}}
{{- mergeOverwrite $known (index .root.Values .component).settings | toYaml -}}
{{- end }}

{{/* The secrets of a role: a list of variable and key. Those that it must have, then those that values add. */}}
{{- define "rally.secrets" -}}
{{- $known := index (.root.Files.Get "files/variables.yaml" | fromYaml) .component -}}
{{- $all := $known.secrets -}}
{{- $wanted := (index .root.Values .component).optionalSecrets -}}
{{- range $known.optionalSecrets }}
  {{- if has .key $wanted }}
    {{- $all = append $all . }}
  {{- end }}
{{- end }}
{{- toYaml $all }}
{{- end }}

{{/* Fails with what is wrong with a role's values, where a schema cannot see it. */}}
{{- define "rally.check" -}}
{{- $values := index .root.Values .component -}}
{{- $settings := include "rally.settings" . | fromYaml -}}
{{- $known := index (.root.Files.Get "files/variables.yaml" | fromYaml) .component -}}
{{- range $name, $_ := $values.settings }}
  {{- range $known.secrets }}
    {{- if eq .variable (printf "%s_FILE" $name) }}
      {{- fail (printf "%s.settings.%s is a secret: put it into the Secret %s as %s" $.component $name (include "rally.secret" $) .key) }}
    {{- end }}
  {{- end }}
  {{- range $known.optionalSecrets }}
    {{- if eq .variable (printf "%s_FILE" $name) }}
      {{- fail (printf "%s.settings.%s is a secret: put it into the Secret %s as %s, and that into %s.optionalSecrets" $.component $name (include "rally.secret" $) .key $.component) }}
    {{- end }}
  {{- end }}
  {{- if not (has $name $known.settings) }}
    {{- fail (printf "%s.settings.%s is no variable of a node of this role: `rally %s --help` lists them" $.component $name $.component) }}
  {{- end }}
{{- end }}
{{- $optional := list }}
{{- range $known.optionalSecrets }}
  {{- $optional = append $optional .key }}
{{- end }}
{{- range $values.optionalSecrets }}
  {{- if not (has . $optional) }}
    {{- fail (printf "%s.optionalSecrets: %s is none of %s" $.component . (join ", " $optional)) }}
  {{- end }}
{{- end }}
{{- if and $values.optionalSecrets .root.Values.trial.enabled (not $values.existingSecret) }}
  {{- fail (printf "%s.optionalSecrets needs %s.existingSecret: the trial's Secret has none of them" .component .component) }}
{{- end }}
{{- if and $values.matchesPerPod (ne .component "worker") }}
  {{- fail (printf "%s.matchesPerPod: only workers have matches" .component) }}
{{- end }}
{{- if and .root.Values.ingress.enabled (eq .component "edge") }}
  {{- if not (get $settings "RALLY_TRUSTED_PROXIES") }}
    {{- fail "edge.settings.RALLY_TRUSTED_PROXIES must be set with ingress.enabled: the addresses of the ingress's pods. Without it all players have one address, and its limits" }}
  {{- end }}
  {{- if not (get $settings "RALLY_PUBLIC_URL") }}
    {{- fail "edge.settings.RALLY_PUBLIC_URL must be set with ingress.enabled: such as https://HOST" }}
  {{- end }}
{{- end }}
{{- if and .root.Values.externalSecrets.store .root.Values.trial.enabled }}
  {{- fail "externalSecrets.store and trial.enabled exclude each other: the trial makes its Secrets" }}
{{- end }}
{{- if and .root.Values.externalSecrets.store .root.Values.edge.existingSecret (eq (toString .root.Values.edge.existingSecret) (toString .root.Values.worker.existingSecret)) }}
  {{- fail "edge.existingSecret and worker.existingSecret must differ with externalSecrets.store: each is fetched by itself" }}
{{- end }}
{{- if gt (int $values.replicas.min) (int $values.replicas.max) }}
  {{- fail (printf "%s.replicas.min is above %s.replicas.max" .component .component) }}
{{- end }}
{{- $drain := div (int $settings.RALLY_DRAIN_MS) 1000 }}
{{- $needed := add $drain (int $values.preStopSeconds) 5 }}
{{- if lt (int $values.terminationGracePeriodSeconds) (int $needed) }}
  {{- fail (printf "%s.terminationGracePeriodSeconds must be at least %d: preStopSeconds, RALLY_DRAIN_MS and 5 s" .component $needed) }}
{{- end }}
{{- if lt (int $values.scaleDown.periodSeconds) (int $values.terminationGracePeriodSeconds) }}
  {{- fail (printf "%s.scaleDown.periodSeconds must not be below %s.terminationGracePeriodSeconds" .component .component) }}
{{- end }}
{{- end }}

{{/* A selector of all nodes of this release. */}}
{{- define "rally.nodes" -}}
matchExpressions:
  - { key: app.kubernetes.io/component, operator: In, values: [edge, worker] }
matchLabels: { app.kubernetes.io/name: rally, app.kubernetes.io/instance: {{ .Release.Name }} }
{{- end }}

{{/* A kind of server, redis or postgres, as a selector: as the usual charts name it, or the trial's own. */}}
{{- define "rally.server" -}}
matchExpressions:
  - { key: app.kubernetes.io/name, operator: In, values: {{ eq .server "redis" | ternary (list "redis" "redis-cluster") (list "postgres" "postgresql") | toJson }} }
{{- if .root.Values.trial.enabled }}
matchLabels: { app.kubernetes.io/instance: {{ .root.Release.Name }} }
{{- end }}
{{- end }}

{{/* Ports of network policies. */}}
{{- define "rally.ports" -}}
{{- range . }}
- { protocol: TCP, port: {{ . }} }
{{- end }}
{{- end }}

{{/* Peers of network policies: pods in these namespaces. */}}
{{- define "rally.namespaces" -}}
- namespaceSelector:
    matchExpressions:
      - { key: kubernetes.io/metadata.name, operator: In, values: {{ toJson . }} }
{{- end }}

{{/* The cluster's name server. */}}
{{- define "rally.dns" -}}
- to: {{ include "rally.namespaces" (list "kube-system") | nindent 4 }}
  ports:
    - { protocol: UDP, port: 53 }
    - { protocol: TCP, port: 53 }
{{- end }}
