"""Rewriting: the user's own code, changed on the copy alone: another function, or an operand that is safe.

where(x > 0, sqrt(x), 0) is right forwards; backwards the masked places send 0 times infinity, which is nan. The mend
stands in the code: sqrt of where(x > 0, x, 0.5). So the method that holds the line is parsed, the operand replaced, and
the copy's module gets a class with the method rewritten: what is tried is what is shown. A method whose source cannot
be read, or that closes over other variables, is left alone.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any

from chainrule.diagnose.candidates.candidate import Candidate, Case, is_the_librarys
from chainrule.diagnose.origin import Origin
from chainrule.nn.module import Module
from chainrule.optim.optimizer import Optimizer

SAFE = 0.5
"""Where sqrt, log, 1/x, powers, asin, acos and atanh and their derivatives are all finite."""

LEAST = 1e-6
FROM_ZERO = ("sqrt", "rsqrt", "log", "log2", "log10")
"""Operators of numbers above 0, infinite or with an infinite derivative at 0."""

MASKED = "the masked places send 0 times infinity, which is nan; where the operand is safe they send 0"
ABOVE_ZERO = "the operator, or its slope, is infinite at 0; the operand is kept away from it"


@dataclass(frozen=True)
class Rewritten:
    """A method of a class of the user's, as it should be.

    Args:
        kind: the class; every module of it gets the method.
        method: the new method, under the old one's name.
        code: the statements that changed, each under its place.
    """

    kind: type
    method: FunctionType
    code: str

    def give(self, model: Module, optimizer: Optimizer | None) -> None:
        """Make every module of that class one with the new method; the class itself stays as it is."""
        members = {self.method.__name__: self.method, "__module__": self.kind.__module__}
        changed = type(self.kind.__name__, (self.kind,), members)
        for module in model.modules():
            if type(module) is self.kind:
                module.__class__ = changed


def candidates(family: str, case: Case) -> list[Candidate]:
    """The candidates of the family "operand": for an operator that was called on a line that can be rewritten."""
    origin = next((one for one in case.diagnosis.origins if one is not None), None)
    if family != "operand" or origin is None or origin.phase not in ("forward", "backward"):
        return []
    kind = type(case.model.get_submodule(origin.path))
    file, line = _line(origin)
    method = _holding(kind, file, line)
    if method is None:
        return []
    found = []
    for name, reason, mend in (
        ("a safe operand inside where", MASKED, _inside_where),
        ("operand kept above 0", ABOVE_ZERO, _above_zero),
    ):
        new = rewritten(kind, method, partial(_mended, mend, line, origin.op))
        if new is not None:
            found.append(Candidate(name, reason, new.code, new.give))
    return found


def with_other_functions(model: Module, names: Sequence[str], new: str) -> list[Rewritten]:
    """The classes of the user's whose forward calls a function of one of these names, such as cr.tanh, F.tanh or
    x.tanh; calls another one instead, but for what the model returns.
    """
    found = []
    for kind in dict.fromkeys([type(module) for module in model.modules()]):
        owner = next(owner for owner in kind.__mro__ if "forward" in vars(owner))  # Module has one
        method = vars(owner)["forward"]
        if is_the_librarys(owner) or not isinstance(method, FunctionType):
            continue
        result = rewritten(kind, method, partial(_renamed, names, new, kind is type(model)))
        found += [] if result is None else [result]
    return found


def rewritten(kind: type, method: FunctionType, change: Callable[[ast.FunctionDef], list[int]]) -> Rewritten | None:
    """A method with its tree changed; None where its source cannot be read, or nothing is changed.

    Args:
        change: changes the tree and returns the lines where it did.
    """
    tree = _tree(method)
    lines = [] if tree is None else change(tree)
    if tree is None or not lines:
        return None
    ast.fix_missing_locations(tree)
    return Rewritten(kind, _compiled(tree, method), "\n".join(_shown(tree, method, lines)))


# ---- a method's source ---------------------------------------------------------------------------------------


def _line(origin: Origin) -> tuple[str, int]:
    """The file and the line of `forward, model.py:12`."""
    file, _, line = origin.where.partition(", ")[2].rpartition(":")
    return file, int(line) if line.isdigit() else 0


def _holding(kind: type, file: str, line: int) -> FunctionType | None:
    """The method of a class that holds a line."""
    for owner in kind.__mro__:
        for method in vars(owner).values():
            if isinstance(method, FunctionType) and method.__code__.co_filename == file:
                source, first = _source(method)
                if first <= line < first + len(source):
                    return method
    return None


def _source(method: FunctionType) -> tuple[list[str], int]:
    """The lines of a method, and the number of the first; none where there is no file."""
    try:
        return inspect.getsourcelines(method)
    except (OSError, TypeError):
        return [], 0


def _tree(method: FunctionType) -> ast.FunctionDef | None:
    """The method parsed, its lines numbered as in the file; None if it cannot stand alone.

    What closes over variables, super() among them, is decorated, or says self.__name, which only a class's own body
    turns into its name, would not mean the same elsewhere. Defaults are left out: the user's are kept, and
    evaluating them again could fail, or do something.
    """
    source, first = _source(method)
    if method.__code__.co_freevars or not source:
        return None
    try:
        tree = ast.parse(textwrap.dedent("".join(source))).body[0]
    except SyntaxError:
        return None
    if not isinstance(tree, ast.FunctionDef) or tree.decorator_list or any(map(_is_private, ast.walk(tree))):
        return None
    tree.args.defaults, tree.args.kw_defaults = [], [None] * len(tree.args.kwonlyargs)
    ast.increment_lineno(tree, first - 1)
    return tree


def _is_private(node: ast.AST) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return name.startswith("__") and not name.endswith("__")


def _compiled(tree: ast.FunctionDef, method: FunctionType) -> FunctionType:
    """The rewritten method, with the globals and defaults of the user's."""
    made: dict[str, Any] = {}
    # compile takes over this file's `from __future__ import annotations`: those of the user are not evaluated either
    exec(compile(ast.Module([tree], []), method.__code__.co_filename, "exec"), method.__globals__, made)
    new: FunctionType = made[tree.name]
    new.__defaults__, new.__kwdefaults__ = method.__defaults__, method.__kwdefaults__
    new.__qualname__ = method.__qualname__
    return new


def _shown(tree: ast.FunctionDef, method: FunctionType, lines: Sequence[int]) -> Iterator[str]:
    """The statements that changed, each under its place."""
    file = Path(method.__code__.co_filename).name
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.stmt) and node is not tree]
    for line in lines:
        there = [node for node in statements if node.lineno <= line <= (node.end_lineno or node.lineno)]
        innermost = min(there, key=lambda node: (node.end_lineno or node.lineno) - node.lineno)
        yield f"# {method.__qualname__}, {file}:{line}\n{ast.unparse(innermost)}"


# ---- calls ---------------------------------------------------------------------------------------------------


def _renamed(names: Sequence[str], new: str, is_whole: bool, tree: ast.FunctionDef) -> list[int]:
    own = {argument.arg for argument in (*tree.args.posonlyargs, *tree.args.args)[:1]}
    returned = [node.value for node in ast.walk(tree) if isinstance(node, ast.Return)] if is_whole else []
    lines = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or node in returned or not isinstance(node.func, ast.Attribute):
            continue
        of_self = isinstance(node.func.value, ast.Name) and node.func.value.id in own
        if node.func.attr in names and not of_self:  # self.tanh is a module of the user's
            node.func.attr = new
            lines.append(node.lineno)
    return list(dict.fromkeys(lines))


def _mended(mend: Callable[..., bool], line: int, op: str, tree: ast.FunctionDef) -> list[int]:
    for node in ast.walk(tree):
        is_there = isinstance(node, ast.expr) and node.lineno <= line <= (node.end_lineno or node.lineno)
        if is_there and _operand(node, op) is not None and mend(tree, node, op):
            return [line]
    return []


def _operand(node: ast.AST, op: str) -> ast.expr | None:
    """What an operator is applied to, in sqrt(x), cr.sqrt(x), x.sqrt(), a / x and x ** p; None for other nodes."""
    if isinstance(node, ast.Call) and _called(node) == op:
        return node.args[0] if node.args else node.func.value if isinstance(node.func, ast.Attribute) else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and op == "div":
        return node.right
    return node.left if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow) and op == "pow" else None


def _put(node: Any, operand: ast.expr) -> None:
    """Give an operator another operand."""
    if isinstance(node, ast.BinOp):
        if isinstance(node.op, ast.Div):
            node.right = operand
        else:
            node.left = operand
    elif node.args:
        node.args[0] = operand
    else:
        node.func.value = operand


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


# ---- two mends -----------------------------------------------------------------------------------------------


def _inside_where(tree: ast.FunctionDef, node: ast.expr, op: str) -> bool:
    """f(where(c, x, safe)) for f(x) in where(c, f(x), y)."""
    masked = _masked(tree, node)
    operand = _operand(node, op)
    if masked is None or operand is None:
        return False
    masks, place = masked
    safe: list[ast.expr] = [operand, ast.Constant(SAFE)]
    _put(node, ast.Call(deepcopy(masks.func), [deepcopy(masks.args[0]), *(safe if place == 1 else safe[::-1])], []))
    return True


def _masked(tree: ast.FunctionDef, node: ast.expr) -> tuple[ast.Call, int] | None:
    """The call of where that has an expression in one of its two answers, or its name there; and in which."""
    names = {
        target.id
        for statement in ast.walk(tree)
        if isinstance(statement, ast.Assign) and _holds(statement.value, node)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }
    for masks in _wheres(tree):
        for place in (1, 2):
            answer = masks.args[place]
            if _holds(answer, node) or (isinstance(answer, ast.Name) and answer.id in names):
                return masks, place
    return None


def _above_zero(tree: ast.FunctionDef, node: ast.expr, op: str) -> bool:
    """f(x) as f(x.clamp(min=1e-6)), for an f of numbers above 0 that no where masks."""
    operand = _operand(node, op)
    if op not in FROM_ZERO or operand is None or _masked(tree, node) is not None:
        return False
    _put(node, ast.Call(ast.Attribute(operand, "clamp", ast.Load()), [], [ast.keyword("min", ast.Constant(LEAST))]))
    return True


def _wheres(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _called(node) == "where" and len(node.args) == 3:
            yield node


def _holds(outer: ast.AST, inner: ast.AST) -> bool:
    return any(node is inner for node in ast.walk(outer))
