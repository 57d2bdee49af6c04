"""What columns are called that hold labels, and labels whose values have a colour."""

from __future__ import annotations

KEY_TITLES = {
    "site": "Site", "hall": "Hall", "rack": "Rack", "node": "Node", "gpu": "GPU", "uuid": "UUID",
    "device": "Device", "side": "Side", "loop": "Loop", "feed": "Feed", "job_id": "Job", "model": "Model",
    "engine": "Engine", "replica": "Replica", "user": "User", "namespace": "Namespace", "stage": "Stage",
    "alertname": "Alert", "severity": "Severity", "domain": "Domain", "scope": "Scope", "place": "Place",
    "incident": "Incident", "cause": "Cause", "detector": "Detector", "signal": "Signal", "xid": "XID",
    "source": "Source", "component": "Part", "role": "Role", "zone": "Zone", "mountpoint": "Mount",
    "fstype": "Type", "port": "Port", "process": "Process", "collector": "Collector", "job": "Job",
    "instance": "Instance", "drill": "Drill", "fault": "Fault", "fault_target": "Target",
    "rule_group": "Rule group", "scheduler": "Scheduler", "program": "Program", "version": "Version",
    "python": "Python", "serial": "Serial", "driver_version": "Driver", "feature": "Feature",
    "reason": "Reason", "horizon": "Horizon", "name": "Name", "error": "Error", "metric": "Metric",
    "link": "Link", "check": "Check", "pci_bus_id": "Address", "type": "Type", "sxid": "SXID",
    "tier": "Tier", "profile": "Profile", "gi": "Instance", "mig_uuid": "Partition", "pid": "Process id",
    "comm": "Program", "controller": "Controller", "dimm": "Module", "file": "File", "location": "Place",
    "link_layer": "Kind", "netdev": "Interface", "firmware": "Firmware", "product": "Product",
    "meaning": "Meaning", "action": "Do", "outcome": "Outcome", "objective": "Objective", "rank": "Rank",
    "row": "Row", "unit": "U", "height": "Height", "face": "Face", "kind": "Kind", "door": "Door",
    "result": "Result", "endangers": "Endangers", "id": "Part", "pump": "Pump", "filter": "Filter",
    "group": "Group", "resource": "Resource", "bound": "Bound", "part": "Part", "liar": "Likelier wrong",
    "reading": "Reading", "endpoint": "Way", "circuit": "Circuit", "position": "Position", "fed_by": "Fed by",
    "cooled_by": "Cooled by", "sensor": "Sensor",
    "valv"
    "e": "Valve", "granularity": "Counts tokens at each", "dialect": "Read as", "precision": "Computes in",
}  # fmt: skip
"""Column titles of labels."""

WORD_COLOURS = {"severity": {"critical": "red", "warning": "orange", "info": "blue"}}
"""Labels whose values have a colour of their own."""
