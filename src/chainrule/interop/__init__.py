"""Files that other programs read: safetensors, and archives of nested values."""
