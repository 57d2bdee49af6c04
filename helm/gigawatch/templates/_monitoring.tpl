{{/* What ServiceMonitors, PodMonitors and ScrapeConfigs have in common. */}}

{{- define "gigawatch.endpoint" -}}
{{- $m := .root.Values.monitors -}}
path: /metrics
{{- with $m.interval }}
interval: {{ . }}
{{- end }}
{{- with $m.scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
{{- if .honor }}
honorLabels: true
{{- end }}
relabelings:
  {{- if .job }}
  - action: replace
    targetLabel: job
    replacement: {{ .job }}
  {{- end }}
  - action: replace
    targetLabel: site
    replacement: {{ include "gigawatch.site" .root | quote }}
  {{- if .node }}
  {{- include "gigawatch.nodeRelabelings" .root | nindent 2 }}
  {{- end }}
  {{- with $m.relabelings }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $m.metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Place of an agent: its node's name, and the rack from a label of the Kubernetes node. */}}
{{- define "gigawatch.nodeRelabelings" -}}
{{- $label := regexReplaceAll "[^a-zA-Z0-9_]" .Values.site.rackLabel "_" -}}
- action: replace
  sourceLabels: [__meta_kubernetes_pod_node_name]
  targetLabel: node
- action: replace
  sourceLabels: [__meta_kubernetes_pod_node_name]
  targetLabel: instance
- action: replace
  sourceLabels: [__meta_kubernetes_node_label_{{ $label }}]
  regex: (.+)
  targetLabel: rack
{{- end -}}

{{- define "gigawatch.scrapeLimits" -}}
{{- range $key := list "sampleLimit" "targetLimit" "labelLimit" "labelNameLengthLimit" "labelValueLengthLimit" }}
{{- with index $.Values.monitors.limits $key }}
{{ $key }}: {{ int . }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Whether a rule file is to be loaded: those for exporters that a cluster already runs only where asked for. Takes root and path. */}}
{{- define "gigawatch.ruleFileOn" -}}
{{- $asked := .root.Values.dialects -}}
{{- $when := dict "dialect-dcgm.yaml" $asked.dcgm "dialect-node-exporter.yaml" $asked.nodeExporter -}}
{{- if or (eq (dir .path) "files/rules") (get $when (base .path)) -}}true{{- end -}}
{{- end -}}

{{/*
Rule groups of one file with the user's changes: alerts switched off, holds and severities changed, labels added.
Takes root, path and file (its text). YAML of {groups: [...]}, nothing where the file is not asked for.
*/}}
{{- define "gigawatch.ruleGroups" -}}
{{- if include "gigawatch.ruleFileOn" . -}}
{{- $root := .root -}}
{{- $set := .root.Values.rules -}}
{{- $groups := list -}}
{{- range $group := (.file | fromYaml).groups -}}
{{- if not (index $set.disabledGroups $group.name) -}}
{{- $rules := list -}}
{{- range $rule := $group.rules -}}
{{- if not (and $rule.alert (index $set.disabled $rule.alert)) -}}
{{- if $rule.alert -}}
{{- $custom := index $set.customRules $rule.alert | default dict -}}
{{- range $key := list "for" "keep_firing_for" -}}
{{- with index $custom (camelcase $key | untitle) -}}{{- $_ := set $rule $key . -}}{{- end -}}
{{- end -}}
{{- $labels := mergeOverwrite (dict) ($rule.labels | default dict) $set.additionalRuleLabels -}}
{{- with $custom.severity -}}{{- $_ := set $labels "severity" . -}}{{- end -}}
{{- $_ := set $rule "labels" $labels -}}
{{- $notes := mergeOverwrite (dict) ($rule.annotations | default dict) $set.additionalRuleAnnotations -}}
{{- /* The generated rules link to the viewer under the name that it has in a release called gigawatch. */ -}}
{{- $viewer := printf "http://%s-viewer:9614" (include "gigawatch.fullname" $root) -}}
{{- with $notes.dashboard_url -}}
{{- $_ := set $notes "dashboard_url" (. | replace "http://gigawatch-viewer:9614" ($set.dashboardUrl | default $viewer | trimSuffix "/")) -}}
{{- end -}}
{{- if $set.runbookUrl -}}
{{- $_ := set $notes "runbook_url" (printf "%s/%s" (trimSuffix "/" $set.runbookUrl) $rule.alert) -}}
{{- else if $notes.runbook_url -}}
{{- $_ := set $notes "runbook_url" ($notes.runbook_url | replace "http://gigawatch-viewer:9614" $viewer) -}}
{{- end -}}
{{- $_ := set $rule "annotations" $notes -}}
{{- end -}}
{{- $rules = append $rules $rule -}}
{{- end -}}
{{- end -}}
{{- if $rules -}}
{{- $groups = append $groups (set $group "rules" $rules) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $groups -}}
{{- dict "groups" $groups | toYaml -}}
{{- end -}}
{{- end -}}
{{- end -}}
