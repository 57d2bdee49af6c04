{{/* Names, labels and the few facts that many templates ask for. */}}

{{- define "gigawatch.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Base of every object's name. Short enough that the longest suffix still fits a DNS label. */}}
{{- define "gigawatch.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "gigawatch.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "gigawatch.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{/* What never changes over a release's life: selectors are immutable. Takes (dict "root" $ "component" "sd"). */}}
{{- define "gigawatch.selector" -}}
app.kubernetes.io/name: {{ include "gigawatch.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{- define "gigawatch.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "gigawatch.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: gigawatch
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* metadata of an object. Takes root, component, name (suffix, may be empty), labels, annotations (dicts). */}}
{{- define "gigawatch.metadata" -}}
name: {{ include "gigawatch.fullname" .root }}{{ with .name }}-{{ . }}{{ end }}
namespace: {{ include "gigawatch.namespace" .root }}
labels:
  {{- include "gigawatch.labels" . | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with mergeOverwrite (dict) (.root.Values.commonAnnotations | default dict) (.annotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Image reference; a digest wins over a tag. Takes root and image (registry, repository, tag, digest). */}}
{{- define "gigawatch.image" -}}
{{- $registry := .root.Values.global.imageRegistry | default .image.registry -}}
{{- $name := ternary (printf "%s/%s" $registry .image.repository) .image.repository (ne $registry "") -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (.image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "gigawatch.pullSecrets" -}}
{{- $secrets := concat (.Values.global.imagePullSecrets | default list) (.Values.imagePullSecrets | default list) -}}
{{- with $secrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Settings of one component: what all share, overridden by its own. Takes root and component. JSON. */}}
{{- define "gigawatch.settings" -}}
{{- mergeOverwrite (deepCopy .root.Values.defaults) (deepCopy (index .root.Values .component)) | toJson -}}
{{- end -}}

{{/* The inventory as text; empty where it stands in a ConfigMap of the user's. */}}
{{- define "gigawatch.inventory" -}}
{{- if .Values.inventory.content -}}
{{- .Values.inventory.content -}}
{{- else if .Values.inventory.blueprint -}}
{{- .Files.Get (printf "files/blueprints/%s.yaml" .Values.inventory.blueprint) -}}
{{- end -}}
{{- end -}}

{{- define "gigawatch.hasInventory" -}}
{{- if or .Values.inventory.content .Values.inventory.blueprint .Values.inventory.existingConfigMap }}true{{ end -}}
{{- end -}}

{{/* Name of the site, as the inventory gives it: the label `site` must be the same everywhere. */}}
{{- define "gigawatch.site" -}}
{{- $parsed := include "gigawatch.inventory" . | fromYaml -}}
{{- $named := dig "site" "name" "" (omit $parsed "Error") -}}
{{- $named | default .Values.site.name | default "default" -}}
{{- end -}}

{{/* Base URL of the Prometheus that analytics and viewer query; empty where none is known. */}}
{{- define "gigawatch.prometheusUrl" -}}
{{- if .Values.prometheus.url -}}
{{- .Values.prometheus.url | trimSuffix "/" -}}
{{- else if .Values.bundled.enabled -}}
http://{{ include "gigawatch.fullname" . }}-prometheus:9090
{{- end -}}
{{- end -}}

{{/* Switches that may be "auto": "true" or nothing. */}}
{{- define "gigawatch.sdOn" -}}
{{- $on := toString .Values.sd.enabled -}}
{{- if or (eq $on "true") (and (eq $on "auto") (include "gigawatch.hasInventory" .)) }}true{{ end -}}
{{- end -}}

{{- define "gigawatch.analyticsOn" -}}
{{- $on := toString .Values.analytics.enabled -}}
{{- if or (eq $on "true") (and (eq $on "auto") (include "gigawatch.prometheusUrl" .)) }}true{{ end -}}
{{- end -}}

{{/* Takes root, mode (auto, true, false) and api (group/version/Kind). */}}
{{- define "gigawatch.crdOn" -}}
{{- $mode := toString .mode -}}
{{- if or (eq $mode "true") (and (eq $mode "auto") (.root.Capabilities.APIVersions.Has .api)) }}true{{ end -}}
{{- end -}}

{{- define "gigawatch.serviceMonitorsOn" -}}
{{- include "gigawatch.crdOn" (dict "root" . "mode" .Values.monitors.enabled "api" "monitoring.coreos.com/v1/ServiceMonitor") -}}
{{- end -}}

{{- define "gigawatch.podMonitorsOn" -}}
{{- include "gigawatch.crdOn" (dict "root" . "mode" .Values.monitors.enabled "api" "monitoring.coreos.com/v1/PodMonitor") -}}
{{- end -}}

{{- define "gigawatch.scrapeConfigsOn" -}}
{{- include "gigawatch.crdOn" (dict "root" . "mode" .Values.monitors.scrapeConfigs "api" "monitoring.coreos.com/v1alpha1/ScrapeConfig") -}}
{{- end -}}

{{- define "gigawatch.rulesOn" -}}
{{- include "gigawatch.crdOn" (dict "root" . "mode" .Values.rules.enabled "api" "monitoring.coreos.com/v1/PrometheusRule") -}}
{{- end -}}

{{/* Whether the site's facility devices are read by anything. */}}
{{- define "gigawatch.devicesOn" -}}
{{- if and (include "gigawatch.sdOn" .) (or .Values.facility.enabled .Values.demo.enabled) }}true{{ end -}}
{{- end -}}
