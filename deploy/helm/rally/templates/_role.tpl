{{/* All objects of a role: a dict with root and component. */}}
{{- define "rally.role" -}}
{{- include "rally.check" . }}
{{- $name := include "rally.name" . }}
{{- $values := index .root.Values .component }}
{{- $isEdge := eq .component "edge" }}
{{- $settings := include "rally.settings" . }}
{{- $secrets := include "rally.secrets" . | fromYamlArray }}
{{- include "rally.account" . }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ $name }}
  labels: {{ include "rally.labels" . | nindent 4 }}
data: {{ $settings | nindent 2 }}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  labels: {{ include "rally.labels" . | nindent 4 }}
spec:
  revisionHistoryLimit: 5
  selector:
    matchLabels: {{ include "rally.selector" . | nindent 6 }}
  strategy:
    type: RollingUpdate
    rollingUpdate: { maxSurge: 1, maxUnavailable: 0 }
  template:
    metadata:
      annotations:
        # A change of settings rolls the pods.
        checksum/settings: {{ $settings | sha256sum }}
      labels: {{ include "rally.labels" . | nindent 8 }}
    spec:
      {{- include "rally.pod" (dict "root" .root "account" $name "user" 10001) | nindent 6 }}
      containers:
        - name: {{ .component }}
          image: {{ include "rally.image" .root }}
          {{- if ne .root.Values.image.pullPolicy "IfNotPresent" }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          {{- end }}
          args: [{{ .component }}]
          env:
            - name: RALLY_NODE_NAME
              valueFrom: { fieldRef: { fieldPath: metadata.name } }
            {{- range $secrets }}
            - { name: {{ .variable }}, value: /run/secrets/rally/{{ .key }} }
            {{- end }}
            {{- if .root.Values.serversTls.authorities }}
            - { name: RALLY_REDIS_CA_FILE, value: /run/authorities/redis.crt }
            - { name: RALLY_DATABASE_CA_FILE, value: /run/authorities/postgres.crt }
            {{- end }}
          envFrom:
            - configMapRef: { name: {{ $name }} }
          {{- if $values.preStopSeconds }}
          lifecycle: { preStop: { sleep: { seconds: {{ $values.preStopSeconds }} } } }
          {{- end }}
          livenessProbe:
            httpGet: { path: /healthz, port: admin }
            periodSeconds: 10
            timeoutSeconds: 2
            failureThreshold: 3
          ports:
            {{- if $isEdge }}
            - { name: http, containerPort: 8080 }
            {{- end }}
            - { name: admin, containerPort: 9090 }
          readinessProbe:
            httpGet: { path: /readyz, port: admin }
            periodSeconds: 2
            timeoutSeconds: 2
            failureThreshold: 2
          resources: {{ toYaml $values.resources | nindent 12 }}
          securityContext: {{ include "rally.confined" . | nindent 12 }}
          startupProbe:
            httpGet: { path: /healthz, port: admin }
            periodSeconds: 1
            timeoutSeconds: 2
            failureThreshold: 60
          volumeMounts:
            - { name: secrets, mountPath: /run/secrets/rally, readOnly: true }
            {{- if .root.Values.serversTls.authorities }}
            - { name: authorities, mountPath: /run/authorities, readOnly: true }
            {{- end }}
      {{- with $values.nodeSelector }}
      nodeSelector: {{ toYaml . | nindent 8 }}
      {{- end }}
      terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
      {{- with $values.tolerations }}
      tolerations: {{ toYaml . | nindent 8 }}
      {{- end }}
      topologySpreadConstraints:
        {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
        - labelSelector:
            matchLabels: {{ include "rally.selector" $ | nindent 14 }}
          maxSkew: 1
          topologyKey: {{ . }}
          whenUnsatisfiable: ScheduleAnyway
        {{- end }}
      volumes:
        - name: secrets
          secret:
            secretName: {{ include "rally.secret" . }}
            defaultMode: 288
            items:
              {{- range $secrets }}
              - { key: {{ .key }}, path: {{ .key }} }
              {{- end }}
        {{- with .root.Values.serversTls.authorities }}
        - name: authorities
          configMap: { name: {{ . }}, defaultMode: 292 }
        {{- end }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}-admin
  labels: {{ include "rally.labels" . | nindent 4 }}
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  ports:
    - { name: admin, port: 9090, targetPort: admin }
  selector: {{ include "rally.selector" . | nindent 4 }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ $name }}
  labels: {{ include "rally.labels" . | nindent 4 }}
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: {{ $name }} }
  minReplicas: {{ $values.replicas.min }}
  maxReplicas: {{ $values.replicas.max }}
  metrics:
    - type: Resource
      resource: { name: cpu, target: { type: Utilization, averageUtilization: {{ $values.cpuPercent }} } }
    {{- with $values.matchesPerPod }}
    - type: Pods
      pods:
        metric: { name: rally_worker_matches }
        target: { type: AverageValue, averageValue: {{ . | quote }} }
    {{- end }}
  behavior:
    scaleUp:
      stabilizationWindowSeconds: 0
      selectPolicy: Max
      policies:
        - { type: Percent, value: 100, periodSeconds: 15 }
        - { type: Pods, value: 2, periodSeconds: 15 }
    scaleDown:
      stabilizationWindowSeconds: {{ $values.scaleDown.stabilizationWindowSeconds }}
      policies:
        - { type: Pods, value: 1, periodSeconds: {{ $values.scaleDown.periodSeconds }} }
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $name }}
  labels: {{ include "rally.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {{ include "rally.selector" . | nindent 6 }}
{{- end }}
