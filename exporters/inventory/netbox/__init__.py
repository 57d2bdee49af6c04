"""NetBox as the source of an inventory: read over its REST API, kept on disk, checked like a file."""

from gigawatch.lazy import lazily

__getattr__ = lazily(
    __name__, {"NetBoxSource": "source", "examine_netbox": "source", "load_settings": "settings"}
)
