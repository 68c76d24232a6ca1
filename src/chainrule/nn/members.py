"""What a module owns, by name: which of its attributes are parameters, buffers and modules.

The values are ordinary attributes, so that `self.weight` costs what any attribute costs; a module keeps beside
them only which kind each name is. `Members` shows the names of one kind as a mapping.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

PARAMETER, BUFFER, TEMPORARY, MODULE = "parameter", "buffer", "temporary buffer", "module"
"""The kinds. A temporary buffer is one that state_dict leaves out (persistent=False)."""

TENSORS = (PARAMETER, BUFFER, TEMPORARY)
SAVED = (PARAMETER, BUFFER)


class Members(MutableMapping[str, Any]):
    """The members of some kinds of one module. Nothing is copied: a write here is a write of the attribute."""

    def __init__(self, attributes: dict[str, Any], *kinds: str) -> None:
        self.attributes, self.kinds = attributes, kinds

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, kind in self.attributes["_kinds"].items() if kind in self.kinds])

    def __len__(self) -> int:
        return len([kind for kind in self.attributes["_kinds"].values() if kind in self.kinds])

    def __contains__(self, name: object) -> bool:
        return self.attributes["_kinds"].get(name) in self.kinds

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise KeyError(name)
        return self.attributes[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if name not in self:
            self.attributes["_kinds"].pop(name, None)  # a name of another kind moves to the end of this one
            self.attributes["_kinds"][name] = self.kinds[0]
        self.attributes[name] = value

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        del self.attributes["_kinds"][name], self.attributes[name]

    def __repr__(self) -> str:
        return repr(dict(self))
