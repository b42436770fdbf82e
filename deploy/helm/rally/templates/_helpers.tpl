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

{{/* Fails with what is wrong with a role's values, where a schema cannot see it. */}}
{{- define "rally.check" -}}
{{- $values := index .root.Values .component -}}
{{- $settings := include "rally.settings" . | fromYaml -}}
{{- range $name, $_ := $values.settings }}
  {{- if regexMatch "_(URL|URLS|KEYS)$" $name }}
    {{- if ne $name "RALLY_PUBLIC_URL" }}
      {{- fail (printf "%s.settings.%s is a secret: put it into the Secret %s" $.component $name (include "rally.secret" $)) }}
    {{- end }}
  {{- end }}
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
