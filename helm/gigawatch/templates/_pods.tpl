{{/* Building blocks of pods: everything that runs is put together from these. */}}

{{- define "gigawatch.podSecurity" -}}
{{- $defaults := dict "runAsNonRoot" true "runAsUser" 65532 "runAsGroup" 65532 "fsGroup" 65532 "fsGroupChangePolicy" "OnRootMismatch" "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{- toYaml (mergeOverwrite $defaults (deepCopy (. | default dict))) -}}
{{- end -}}

{{- define "gigawatch.containerSecurity" -}}
{{- $defaults := dict "allowPrivilegeEscalation" false "readOnlyRootFilesystem" true "capabilities" (dict "drop" (list "ALL")) -}}
{{- toYaml (mergeOverwrite $defaults (deepCopy (. | default dict))) -}}
{{- end -}}

{{/* Labels and annotations of a pod. Takes root, component, settings, annotations (dict). */}}
{{- define "gigawatch.podMetadata" -}}
labels:
  {{- /* No chart version here: a new chart restarts only the pods that it changes. */}}
  {{- include "gigawatch.selector" . | nindent 2 }}
  app.kubernetes.io/part-of: gigawatch
  {{- with .root.Values.commonLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with .settings.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with mergeOverwrite (dict) (.root.Values.commonAnnotations | default dict) (.annotations | default dict) (.settings.podAnnotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What a pod says about where and as whom it runs. Takes root, component, settings. */}}
{{- define "gigawatch.podPlacement" -}}
serviceAccountName: {{ include "gigawatch.serviceAccount" . }}
{{- include "gigawatch.pullSecrets" .root }}
automountServiceAccountToken: {{ .token | default false }}
enableServiceLinks: false
terminationGracePeriodSeconds: {{ .settings.terminationGracePeriodSeconds }}
securityContext:
  {{- include "gigawatch.podSecurity" .settings.podSecurityContext | nindent 2 }}
{{- with .settings.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .settings.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .settings.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .settings.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .settings.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .settings.initContainers }}
initContainers:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "gigawatch.serviceAccount" -}}
{{- if .root.Values.serviceAccount.create -}}
{{- $own := or (eq .component "workload") (and (eq .component "prometheus") .root.Values.agent.enabled) -}}
{{ include "gigawatch.fullname" .root }}{{ if $own }}-{{ .component }}{{ end }}
{{- else -}}
{{ .root.Values.serviceAccount.name }}
{{- end -}}
{{- end -}}

{{/*
A container that runs one gigawatch command and answers HTTP. Takes root, settings, name, args (list), port, portName,
env, mounts (lists of objects) and bare (true: without the user's extra arguments and mounts).
*/}}
{{- define "gigawatch.container" -}}
{{- $own := ternary (dict) .settings (.bare | default false) -}}
- name: {{ .name }}
  image: {{ include "gigawatch.image" (dict "root" .root "image" .root.Values.image) }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  args:
    {{- range concat .args ($own.extraArgs | default list) }}
    - {{ . | quote }}
    {{- end }}
  {{- with concat (.env | default list) ($own.extraEnv | default list) }}
  env:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $own.extraEnvFrom }}
  envFrom:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if .port }}
  ports:
    - name: {{ .portName | default "http" }}
      containerPort: {{ .port }}
      protocol: TCP
      {{- with .hostPort }}
      hostPort: {{ . }}
      {{- end }}
  {{- include "gigawatch.probes" (dict "probes" .settings.probes "port" (.portName | default "http") "healthy" "/-/healthy" "ready" "/-/ready" "tcp" .tcpProbes) | nindent 2 }}
  {{- end }}
  resources:
    {{- toYaml .settings.resources | nindent 4 }}
  securityContext:
    {{- include "gigawatch.containerSecurity" .settings.securityContext | nindent 4 }}
  volumeMounts:
    - name: tmp
      mountPath: /tmp
    {{- with concat (.mounts | default list) ($own.extraVolumeMounts | default list) }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* Startup gives a slow start its time, so that liveness may be quick afterwards. */}}
{{- define "gigawatch.probes" -}}
startupProbe:
  {{- include "gigawatch.probe" (dict "port" .port "path" .healthy "tcp" .tcp) | nindent 2 }}
  {{- toYaml .probes.startup | nindent 2 }}
livenessProbe:
  {{- include "gigawatch.probe" (dict "port" .port "path" .healthy "tcp" .tcp) | nindent 2 }}
  {{- toYaml .probes.liveness | nindent 2 }}
readinessProbe:
  {{- include "gigawatch.probe" (dict "port" .port "path" .ready "tcp" .tcp) | nindent 2 }}
  {{- toYaml .probes.readiness | nindent 2 }}
{{- end -}}

{{/* kubelet has neither client certificate nor password: behind those it can only knock (tcp). */}}
{{- define "gigawatch.probe" -}}
{{- if .tcp -}}
tcpSocket:
  port: {{ .port }}
{{- else -}}
httpGet:
  path: {{ .path }}
  port: {{ .port }}
{{- end -}}
{{- end -}}

{{/* Volumes of a pod: scratch space, the component's own (list), the user's. Takes settings and volumes. */}}
{{- define "gigawatch.volumes" -}}
volumes:
  - name: tmp
    emptyDir:
      sizeLimit: 64Mi
  {{- with concat (.volumes | default list) (.settings.extraVolumes | default list) }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "gigawatch.inventoryVolume" -}}
name: inventory
configMap:
  name: {{ .Values.inventory.existingConfigMap | default (printf "%s-inventory" (include "gigawatch.fullname" .)) }}
  items:
    - key: {{ .Values.inventory.key }}
      path: inventory.yaml
{{- end -}}

{{/* Addresses of devices that stand in a file of their own. */}}
{{- define "gigawatch.endpointsOn" -}}
{{- $own := .Values.facility -}}
{{- if and $own.enabled (not $own.simulate) (or $own.endpoints.content $own.endpoints.existingConfigMap) }}true{{ end -}}
{{- end -}}

{{- define "gigawatch.endpointsVolume" -}}
name: endpoints
configMap:
  name: {{ .Values.facility.endpoints.existingConfigMap | default (printf "%s-facility-endpoints" (include "gigawatch.fullname" .)) }}
{{- end -}}

{{/* Changes with the inventory, so that pods which read it only at their start are replaced. */}}
{{- define "gigawatch.inventoryChecksum" -}}
checksum/inventory: {{ include "gigawatch.inventory" . | sha256sum }}
{{- end -}}

{{/*
A container that makes a directory of the node the agent's: kubelet makes it root's, and fsGroup does not reach host paths.
Takes root, settings, name (of the volume), path, code (Python). Its one right is to change owners.
*/}}
{{- define "gigawatch.owner" -}}
name: own-{{ .name }}
image: {{ include "gigawatch.image" (dict "root" .root "image" .root.Values.image) }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
command: [python, -c, {{ .code | quote }}]
resources:
  {{- toYaml .settings.resources | nindent 2 }}
securityContext:
  runAsUser: 0
  runAsNonRoot: false
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL], add: [CHOWN]}
volumeMounts:
  - name: {{ .name }}
    mountPath: {{ .path }}
{{- end -}}

{{/* A Service in front of one component. Takes root, component, settings, port, headless. */}}
{{- define "gigawatch.service" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "gigawatch.metadata" (dict "root" .root "component" .component "name" .component "annotations" .settings.service.annotations) | nindent 2 }}
spec:
  {{- if .headless }}
  clusterIP: None
  {{- if eq .component "agent" }}
  # A node where something hangs, so that its agent is not ready, is the very one to be found.
  publishNotReadyAddresses: true
  {{- end }}
  {{- else }}
  type: {{ .settings.service.type }}
  {{- end }}
  selector:
    {{- include "gigawatch.selector" . | nindent 4 }}
  ports:
    - name: http
      port: {{ .port }}
      targetPort: http
      protocol: TCP
{{- end -}}

{{/* A one-container Deployment with its Service. Takes root, component, settings, args, port, env, mounts, volumes, annotations. */}}
{{- define "gigawatch.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "gigawatch.metadata" (dict "root" .root "component" .component "name" .component) | nindent 2 }}
spec:
  replicas: {{ .settings.replicas }}
  revisionHistoryLimit: 3
  selector:
    matchLabels:
      {{- include "gigawatch.selector" . | nindent 6 }}
  template:
    metadata:
      {{- include "gigawatch.podMetadata" . | nindent 6 }}
    spec:
      {{- include "gigawatch.podPlacement" . | nindent 6 }}
      containers:
        {{- include "gigawatch.container" (merge (dict "name" .component) .) | nindent 8 }}
        {{- with .settings.sidecars }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- include "gigawatch.volumes" . | nindent 6 }}
---
{{ include "gigawatch.service" . }}
{{- end -}}

{{/* A volume claim of a StatefulSet. Takes name and persistence (size, storageClassName, accessModes). */}}
{{- define "gigawatch.claim" -}}
- apiVersion: v1
  kind: PersistentVolumeClaim
  metadata:
    name: {{ .name }}
  spec:
    accessModes:
      {{- toYaml .persistence.accessModes | nindent 6 }}
    {{- with .persistence.storageClassName }}
    storageClassName: {{ . | quote }}
    {{- end }}
    resources:
      requests:
        storage: {{ .persistence.size }}
{{- end -}}
