"""node_exporter, 1.5 to 1.12: which metric stands for which of ours.

It does not say which node it speaks of: the scrape does (label `node`), or else the host part of `instance`.
Labels, names and enum values after its own output, recorded and run.
"""

from __future__ import annotations

from gigawatch.catalogue import Metric, Unit, fabric, host, own, storage
from gigawatch.promql.dialects.model import HOST_PART, Dialect, Foreign, Made, Pick, Row, Taken
from gigawatch.promql.dialects.rules import PLACE, vector

EXPORTER_JOBS = ".*node[-_]?exporter.*|node"
"""Scrape jobs of node_exporter, by the names that are in use."""
TAKEN = (Taken("node", ("node", "instance"), HOST_PART),)
_DISKS = (
    'device!~"(loop|ram|zram|fd|sr)[0-9].*|(sd|vd|xvd|hd)[a-z]+[0-9]+|(nvme[0-9]+n[0-9]+|mmcblk[0-9]+)p[0-9]+"',
)
_INTERFACES = ('device!~"lo|ifb[0-9].*|veth.*|docker.*|br-.*|cni.*|flannel.*|cali.*|dummy.*"',)
_REMOTE = (
    "9p|afs|beegfs|beegfs_nodev|ceph|cifs|gfs2|glusterfs|gpfs|lustre|nfs|nfs4|ocfs2|orangefs|panfs|smb3|"
    "virtiofs|wekafs|fuse"
)
_OTHER_FUSE = "fuse[.].*"
_PSEUDO = "autofs|devtmpfs|efivarfs|overlay|proc|ramfs|rootfs|rpc_pipefs|squashfs|sysfs|tmpfs|iso9660"
_LOCAL = (
    f'fstype!~"{_PSEUDO}|{_REMOTE}|{_OTHER_FUSE}"',
    'mountpoint!~"/(run|var/lib/(docker|kubelet|containers))/.+"',
)
_SHARED = (f'fstype=~"{_REMOTE}"',)


def _metric(name: str) -> Foreign:
    return Foreign((f"node_{name}",))


def _row(
    metric: Metric,
    name: str,
    factor: float = 1.0,
    where: tuple[str, ...] = (),
    combine: str = "max",
    **fixed: str,
) -> Row:
    return Row(metric, (Pick(_metric(name), factor, where),), fixed, combine=combine)


def _by(*labels: str) -> tuple[str, ...]:
    return (*PLACE, *labels)


def _vector(name: str, *labels: str, where: tuple[str, ...] = (), combine: str = "max") -> str:
    return vector(Pick(_metric(name), where=where), _by(*labels), TAKEN, Unit.COUNT, combine)


def _made(metric: Metric, text: str, *names: str, absent: tuple[str, ...] = (), **fixed: str) -> Row:
    return Row(metric, (Made(text, tuple(_metric(name) for name in names)),), fixed, absent=absent)


_MODES = {"user": "user", "system": "system", "iowait": "iowait", "idle": "idle"}
_other = 'mode!~"user|system|iowait|idle"'
PROCESSOR = (
    *(
        _row(
            host.HOST_CPU_SECONDS, "cpu_seconds_total", where=(f'mode="{theirs}"',), combine="sum", mode=ours
        )
        for theirs, ours in _MODES.items()
    ),
    _row(host.HOST_CPU_SECONDS, "cpu_seconds_total", where=(_other,), combine="sum", mode="other"),
    _row(host.HOST_CPUS, "cpu_seconds_total", where=('mode="idle"',), combine="count"),
    _row(host.HOST_LOAD, "load1"),
    _row(host.HOST_BOOT_TIMESTAMP, "boot_time_seconds"),
    _row(host.HOST_MEMORY_SIZE, "memory_MemTotal_bytes"),
    _row(host.HOST_MEMORY_AVAILABLE, "memory_MemAvailable_bytes"),
    _made(
        host.HOST_SWAP_USED,
        f"{_vector('memory_SwapTotal_bytes')} - {_vector('memory_SwapFree_bytes')}",
        "memory_SwapTotal_bytes",
        "memory_SwapFree_bytes",
    ),
    *(
        _row(host.HOST_PRESSURE, f"pressure_{resource}_{word}_seconds_total", resource=resource, share=share)
        for resource in ("cpu", "memory", "io")
        for word, share in (("waiting", "some"), ("stalled", "full"))
        if (resource, share) != ("cpu", "full")
    ),
    _row(host.HOST_TASKS_BLOCKED, "procs_blocked"),
    _row(host.HOST_OOM_KILLS, "vmstat_oom_kill"),
    _row(host.HOST_HUNG_TASKS, "kernel_hung_tasks_total"),
    _row(host.HOST_CLOCK_OFFSET, "timex_offset_seconds"),
    _row(host.HOST_CLOCK_SYNCHRONIZED, "timex_sync_status"),
    _row(host.HOST_CLOCK_MAX_ERROR, "timex_maxerror_seconds"),
)
HARDWARE = (
    _row(host.HOST_TEMPERATURE, "hwmon_temp_celsius"),
    _row(host.HOST_TEMPERATURE_CRITICAL, "hwmon_temp_crit_celsius"),
    _row(host.HOST_FAN_SPEED, "hwmon_fan_rpm", 1 / 60),
    _row(host.HOST_CPU_THROTTLES, "cpu_core_throttles_total", combine="sum", scope="core"),
    _row(host.HOST_CPU_THROTTLES, "cpu_package_throttles_total", combine="sum", scope="package"),
    *(
        Row(host.HOST_MEMORY_ERRORS, (Pick(_metric(name)),), {"severity": severity}, absent=("dimm",))
        for name, severity in (
            ("edac_correctable_errors_total", "corrected"),
            ("edac_uncorrectable_errors_total", "uncorrected"),
        )
    ),
)
_disk: tuple[tuple[Metric, str, dict[str, str]], ...] = (
    (host.HOST_DISK_READ, "disk_read_bytes_total", {}),
    (host.HOST_DISK_WRITTEN, "disk_written_bytes_total", {}),
    (host.HOST_DISK_BUSY, "disk_io_time_seconds_total", {}),
    (host.HOST_DISK_OPERATIONS, "disk_reads_completed_total", {"operation": "read"}),
    (host.HOST_DISK_OPERATIONS, "disk_writes_completed_total", {"operation": "write"}),
    (host.HOST_DISK_OPERATION_SECONDS, "disk_read_time_seconds_total", {"operation": "read"}),
    (host.HOST_DISK_OPERATION_SECONDS, "disk_write_time_seconds_total", {"operation": "write"}),
)
_files = ("mountpoint", "fstype")
_export = _vector("filesystem_readonly", "device", *_files, where=('fstype=~"nfs4?"',), combine="group")


def _nfs(metric: Metric, name: str) -> Row:
    """Traffic is told by export; the mount point comes from the list of file systems."""
    traffic = _vector(name, "export", combine="sum")
    text = (
        f'max by ({", ".join(_by(*_files))}) (label_replace({_export}, "export", "$1", "device", "(.*)") '
        f"* on (site, rack, node, export) group_left () {traffic})"
    )
    return _made(metric, text, "filesystem_readonly", name)


STORAGE = (
    *(Row(metric, (Pick(_metric(name), where=_DISKS),), fixed) for metric, name, fixed in _disk),
    _row(host.HOST_FILESYSTEM_SIZE, "filesystem_size_bytes", where=_LOCAL),
    _row(host.HOST_FILESYSTEM_AVAILABLE, "filesystem_avail_bytes", where=_LOCAL),
    _made(
        host.HOST_FILESYSTEM_FILES_FREE,
        f"{_vector('filesystem_files_free', *_files, where=_LOCAL)} / "
        f"({_vector('filesystem_files', *_files, where=_LOCAL)} > 0)",
        "filesystem_files_free",
        "filesystem_files",
    ),
    # A mount that the exporter may not look at is not one that hangs.
    _made(
        storage.MOUNT_RESPONSIVE,
        "1 - "
        + _vector("filesystem_device_error", *_files, where=(*_SHARED, 'device_error!~"(?i).*permission.*"')),
        "filesystem_device_error",
    ),
    _row(storage.MOUNT_SIZE, "filesystem_size_bytes", where=_SHARED),
    _row(storage.MOUNT_AVAILABLE, "filesystem_avail_bytes", where=_SHARED),
    _row(storage.MOUNT_READ_ONLY, "filesystem_readonly", where=_SHARED),
    _nfs(storage.STORAGE_READ, "mountstats_nfs_total_read_bytes_total"),
    _nfs(storage.STORAGE_WRITTEN, "mountstats_nfs_total_write_bytes_total"),
)
_DIRECTIONS = ("receive", "transmit")
NETWORK = (
    *(
        _row(metric, f"network_{direction}_{word}_total", where=_INTERFACES, direction=direction)
        for metric, word in (
            (host.HOST_NETWORK_BYTES, "bytes"),
            (host.HOST_NETWORK_ERRORS, "errs"),
            (host.HOST_NETWORK_DROPS, "drop"),
        )
        for direction in _DIRECTIONS
    ),
    _row(host.HOST_NETWORK_UP, "network_carrier", where=_INTERFACES),
    # -1 Mbit/s, as text of a driver that does not know, is no speed.
    Row(host.HOST_NETWORK_SPEED, (Pick(_metric("network_speed_bytes"), where=_INTERFACES, low=1),)),
    _row(host.HOST_NETWORK_FLAPS, "network_carrier_down_changes_total", where=_INTERFACES),
)
_PORT = ("device", "port")
_PORT_STATES = {"down": 1, "init": 2, "armed": 3, "active": 4}
_PORT_ERRORS = {
    "symbol": "symbol_error_total",
    "link_recovery": "link_error_recovery_total",
    "receive": "port_errors_received_total",
    "receive_remote": "port_receive_remote_physical_errors_total",
    "discard": "port_discards_transmitted_total",
    "link_integrity": "local_link_integrity_errors_total",
    "buffer_overrun": "excessive_buffer_overrun_errors_total",
    "vl15_dropped": "vl15_dropped_total",
}
_ROCE = {
    "ecn_marked": "np_ecn_marked_roce_packets_received_total",
    "cnp_sent": "np_cnp_packets_sent_total",
    "cnp_handled": "rp_cnp_packets_handled_total",
    "out_of_sequence": "out_of_sequence_packets_received_total",
    "packet_sequence_error": "packet_sequence_errors_total",
    "rnr_nak_retry": "rnr_nak_retry_packets_received_total",
    "adaptive_retransmission": "roce_adp_retransmits_total",
    "duplicate_request": "duplicate_requests_packets_total",
    "implied_nak_sequence_error": "implied_nak_seq_errors_total",
    "slow_restart": "roce_slow_restart_total",
    "out_of_buffer": "out_of_buffer_drops_total",
    "local_ack_timeout": "local_ack_timeout_errors_total",
}
_IB = "infiniband_"
_CONSTRAINT = tuple(f"{_IB}port_constraint_errors_{word}_total" for word in ("received", "transmitted"))
_firmware = _vector(f"{_IB}info", "device", "firmware_version", combine="group")
FABRIC = (
    *(
        _made(
            fabric.IB_PORT_STATE,
            f"{_vector(f'{_IB}state_id', *_PORT)} == bool {code}",
            f"{_IB}state_id",
            state=state,
        )
        for state, code in _PORT_STATES.items()
    ),
    _row(fabric.IB_PORT_BYTES, f"{_IB}port_data_received_bytes_total", direction="receive"),
    _row(fabric.IB_PORT_BYTES, f"{_IB}port_data_transmitted_bytes_total", direction="transmit"),
    *(_row(fabric.IB_PORT_ERRORS, f"{_IB}{name}", kind=kind) for kind, name in _PORT_ERRORS.items()),
    _made(
        fabric.IB_PORT_ERRORS,
        " + ".join(_vector(name, *_PORT) for name in _CONSTRAINT),
        *_CONSTRAINT,
        kind="constraint",
    ),
    _row(fabric.IB_PORT_FLAPS, f"{_IB}link_downed_total"),
    _row(fabric.IB_PORT_SPEED, f"{_IB}rate_bytes_per_second"),
    _row(fabric.IB_PORT_WAIT, f"{_IB}port_transmit_wait_total"),
    _made(
        fabric.IB_PORT_INFO,
        f"{_vector(f'{_IB}state_id', *_PORT, combine='group')} * on (site, rack, node, device) "
        f"group_left (firmware) max by ({', '.join(_by('device', 'firmware'))}) "
        f'(label_replace({_firmware}, "firmware", "$1", "firmware_version", "(.*)"))',
        f"{_IB}state_id",
        f"{_IB}info",
        absent=("link_layer", "netdev", "pci_bus_id"),
    ),
    *(_row(fabric.ROCE_EVENTS, f"{_IB}{name}", kind=kind) for kind, name in _ROCE.items()),
)
# Other collectors fail on hosts that lack what they read, and nobody wants to hear of it.
_ALWAYS = 'collector=~"cpu|meminfo|loadavg|stat|diskstats|filesystem|netdev"'
_up = f'up{{job=~"{EXPORTER_JOBS}"}}'
_target = ", ".join(_by("job", "instance"))
_success = _metric("scrape_collector_success")
_duration = _metric("scrape_collector_duration_seconds")
COLLECTOR = (
    Row(
        own.COLLECTOR_UP,
        (
            Made(
                f"min by ({_target}) ({TAKEN[0].over(_success.selector(_ALWAYS))}) or "
                f"max by ({_target}) ({TAKEN[0].over(_up)}) * 0",
                (_success,),
            ),
        ),
        {"collector": "host"},
        extra=("job", "instance"),
    ),
    Row(
        own.COLLECTOR_DURATION,
        (Made(f"sum by ({_target}) ({TAKEN[0].over(_duration.selector(_ALWAYS))})", (_duration,)),),
        {"collector": "host"},
        extra=("job", "instance"),
    ),
)
NODE_EXPORTER = Dialect(
    "node-exporter",
    "node_exporter",
    "node_exporter",
    TAKEN,
    {
        "processor": (*PROCESSOR, *COLLECTOR),
        "hardware": HARDWARE,
        "storage": STORAGE,
        "network": (*NETWORK, *FABRIC),
    },
)
