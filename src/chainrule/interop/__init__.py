"""Files that other programs read: safetensors, and archives of nested values."""

from chainrule.interop import archive, safetensors

__all__ = ["archive", "safetensors"]
