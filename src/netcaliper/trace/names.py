"""Names of calls: module path, operation and call number, stable between runs."""

from collections import Counter

from torch import nn
from torch.fx import Node


def operation(node: Node) -> str:
    """Return the operation of a node without its overload, e.g. ``aten.relu``."""
    target = str(node.target)
    if target.startswith("aten."):
        return ".".join(target.split(".")[:2]).rstrip("_")
    return getattr(node.target, "__name__", target) if not target.count(".") else target


def short(node: Node) -> str:
    """Return the operation without its namespace, e.g. ``relu``."""
    return operation(node).split(".")[-1]


def module_path(node: Node) -> str:
    """Return the path of the module whose forward made this node; empty for the root."""
    stack = [
        entry for entry in (node.meta.get("nn_module_stack") or {}).values() if not str(entry[0]).startswith("_empty")
    ]
    return str(stack[-1][0]).split("@")[0] if stack else ""


class Namer:
    """Gives every call a name, counting calls of the same name in graph order."""

    def __init__(self, model: nn.Module) -> None:
        self._leaves = {name for name, module in model.named_modules() if name and not any(module.children())}
        self._seen: Counter[str] = Counter()

    def name(self, node: Node, op: str, *, weighted: bool) -> str:
        """Return ``path`` for the call of a leaf module, else ``path.op``; with ``#k`` from the second call on.

        Args:
            node: the node.
            op: operation to append where the path alone does not name the call.
            weighted: whether the call itself reads a weight; an activation inside a leaf module with weights gets its
                operation appended.
        """
        path = module_path(node)
        own = path in self._leaves and (weighted or not self._has_weights(node))
        base = path if own else f"{path}.{op}" if path else op
        self._seen[base] += 1
        return base if self._seen[base] == 1 else f"{base}#{self._seen[base]}"

    def _has_weights(self, node: Node) -> bool:
        return module_path(node) in self.weighted_paths

    weighted_paths: frozenset[str] = frozenset()
    """Paths of leaf modules that call a weighted operation."""
