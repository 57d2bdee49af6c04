{{/* The configuration files of the bundled Prometheus, Alertmanager and Grafana. */}}

{{- define "gigawatch.prometheusConfig" -}}
{{- $name := include "gigawatch.fullname" . -}}
{{- $bundled := .Values.bundled.prometheus -}}
{{- $site := include "gigawatch.site" . -}}
global:
  scrape_interval: {{ $bundled.interval }}
  scrape_timeout: {{ $bundled.scrapeTimeout }}
  evaluation_interval: {{ $bundled.interval }}
  {{- with $bundled.externalLabels }}
  external_labels:
    {{- toYaml . | nindent 4 }}
  {{- end }}
rule_files:
  - /etc/prometheus/rules/*.yaml
{{- if .Values.bundled.alertmanager.enabled }}
alerting:
  alertmanagers:
    - static_configs:
        - targets: [{{ $name }}-alertmanager:9093]
{{- end }}
{{- with $bundled.remoteWrite }}
remote_write:
  {{- toYaml . | nindent 2 }}
{{- end }}
scrape_configs:
  {{- if or .Values.agent.enabled .Values.demo.enabled }}
  - job_name: gigawatch-agent
    {{- if .Values.demo.enabled }}
    # The nodes of the simulated site, with the place labels of the inventory.
    http_sd_configs:
      - url: http://{{ $name }}-sd:9613/sd/agents
        refresh_interval: 30s
    {{- end }}
  {{- end }}
  {{- if .Values.agent.enabled }}
  {{- if .Values.demo.enabled }}
  - job_name: gigawatch-agent-kubernetes
  {{- end }}
    # One agent on each node of this cluster; the rack is a label of the Kubernetes node.
    kubernetes_sd_configs:
      - role: pod
        namespaces:
          names: [{{ include "gigawatch.namespace" . }}]
        selectors:
          - role: pod
            label: app.kubernetes.io/instance={{ .Release.Name }},app.kubernetes.io/component=agent
        {{- if $bundled.nodeMetadata }}
        attach_metadata:
          node: true
        {{- end }}
    relabel_configs:
      - action: replace
        target_label: job
        replacement: gigawatch-agent
      - action: replace
        target_label: site
        replacement: {{ $site | quote }}
      - action: replace
        source_labels: [__meta_kubernetes_pod_node_name]
        target_label: node
      - action: replace
        source_labels: [__meta_kubernetes_pod_node_name]
        target_label: instance
      - action: replace
        source_labels: [__meta_kubernetes_node_label_{{ regexReplaceAll "[^a-zA-Z0-9_]" .Values.site.rackLabel "_" }}]
        regex: (.+)
        target_label: rack
  {{- end }}
  {{- if include "gigawatch.devicesOn" . }}
  - job_name: gigawatch-facility
    http_sd_configs:
      - url: http://{{ $name }}-sd:9613/sd/facility
        refresh_interval: 30s
  {{- end }}
  {{- if .Values.workload.enabled }}
  - job_name: gigawatch-workload
    # A page for the engines of each node, and one of its own, each with the labels of its place.
    http_sd_configs:
      - url: http://{{ $name }}-workload:9618/targets
        refresh_interval: 30s
    relabel_configs:
      # Only where no inventory names it.
      - action: replace
        source_labels: [site]
        regex: ^$
        target_label: site
        replacement: {{ $site | quote }}
  {{- end }}
  {{- if include "gigawatch.sdOn" . }}
  - job_name: gigawatch-sd
    # It speaks of nodes and devices other than itself: their labels win.
    honor_labels: true
    static_configs:
      - targets: [{{ $name }}-sd:9613]
        labels: {site: {{ $site | quote }}}
  {{- end }}
  {{- if include "gigawatch.analyticsOn" . }}
  - job_name: gigawatch-analytics
    honor_labels: true
    # A headless service: one address per shard.
    dns_sd_configs:
      - names: [{{ $name }}-analytics]
        type: A
        port: 9612
        refresh_interval: 30s
    relabel_configs:
      - action: replace
        target_label: site
        replacement: {{ $site | quote }}
  {{- end }}
  {{- if .Values.pager.enabled }}
  - job_name: gigawatch-pager
    static_configs:
      - targets: [{{ $name }}-pager:9615]
        labels: {site: {{ $site | quote }}}
  {{- end }}
  {{- if .Values.demo.enabled }}
  - job_name: gigawatch-plant
    static_configs:
      - targets: [{{ $name }}-demo:9616]
        labels: {site: {{ $site | quote }}}
  {{- end }}
  - job_name: prometheus
    static_configs:
      - targets: [localhost:9090]
        labels: {site: {{ $site | quote }}}
  {{- if .Values.bundled.alertmanager.enabled }}
  - job_name: alertmanager
    static_configs:
      - targets: [{{ $name }}-alertmanager:9093]
        labels: {site: {{ $site | quote }}}
  {{- end }}
  {{- with $bundled.extraScrapeConfigs }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* The generated routing tree; the address of the pager is put in where one runs in this release. */}}
{{- define "gigawatch.alertmanagerConfig" -}}
{{- if .Values.bundled.alertmanager.config -}}
{{- .Values.bundled.alertmanager.config -}}
{{- else -}}
{{- $pager := .Values.bundled.alertmanager.pagerUrl -}}
{{- if and .Values.pager.enabled (not $pager) -}}
{{- $pager = printf "http://%s-pager:9615" (include "gigawatch.fullname" .) -}}
{{- end -}}
{{- $text := .Files.Get "files/alertmanager.yaml" -}}
{{- ternary ($text | replace "http://gigawatch-pager:9615" $pager) $text (ne $pager "") -}}
{{- end -}}
{{- end -}}
