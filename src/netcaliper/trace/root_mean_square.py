"""RMSNorm as models write it out: ``x * rsqrt(mean(x ** 2) + eps)``."""

from torch.fx import Node

from netcaliper.trace.names import operation

_CASTS = ("aten.to", "aten._to_copy", "aten.clone", "aten.detach", "aten.alias")


def exit_of(mean: Node) -> Node | None:
    """Return the node at which a mean of squares divides what it is the mean of, ``None`` if it is another mean."""
    squares = mean.args[0]
    if operation(mean) != "aten.mean" or not isinstance(squares, Node):
        return None
    x = _squared(squares)
    node = _only_user(mean)
    if x is None or node is None or len(squares.users) != 1:
        return None
    if operation(node) == "aten.add" and not isinstance(node.args[1], Node):
        node = _only_user(node)
    if node is None:
        return None
    divides = operation(node) == "aten.sqrt"
    if not divides and operation(node) != "aten.rsqrt":
        return None
    root, node = node, _only_user(node)
    while node is not None and operation(node) in _CASTS:
        root, node = node, _only_user(node)
    if node is None or operation(node) != ("aten.div" if divides else "aten.mul"):
        return None
    others = [argument for argument in node.args if argument is not root]
    if len(others) != 1 or (divides and node.args[1] is not root):
        return None
    return node if _uncast(others[0]) is _uncast(x) else None


def _squared(node: Node) -> object:
    if operation(node) == "aten.pow" and node.args[1] == 2:
        return node.args[0]
    if operation(node) == "aten.square" or (operation(node) == "aten.mul" and node.args[0] is node.args[1]):
        return node.args[0]
    return None


def _only_user(node: Node) -> Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _uncast(node: object) -> object:
    while isinstance(node, Node) and operation(node) in _CASTS:
        node = node.args[0]
    return node
