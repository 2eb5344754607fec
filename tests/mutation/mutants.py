"""Single changes of a file of code: other operators, constants and conditions, less of a call."""

import ast
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

TEXT = ("warn", "debug", "info", "warning", "error", "rank_zero_info", "rank_zero_warn", "cast")
"""Calls whose arguments are messages or types."""

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.MatMult: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
}
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of a file, made by `apply` in the tree that it was found in."""

    path: Path
    lines: range
    text: str
    apply: Callable[[], None]
    tree: ast.Module
    on_import: bool

    @property
    def name(self) -> str:
        return f"{self.path}: {self.text}"

    def compile(self) -> CodeType:
        self.apply()
        return compile(ast.fix_missing_locations(self.tree), str(self.path), "exec")


class Mutations(ast.NodeVisitor):
    """Finds what can be changed in a file.

    Docstrings, annotations, messages, imports, assertions and the settings of dataclasses are left
    as they are.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tree = ast.parse(path.read_text())
        self.found: list[Mutant] = []
        self.statement: ast.stmt = ast.Pass(lineno=1, end_lineno=1)
        self.functions = 0
        self.visit(self.tree)

    def visit(self, node: ast.AST) -> None:
        if isinstance(node, ast.stmt):
            outer, self.statement = self.statement, node
            super().visit(node)
            self.statement = outer
        else:
            super().visit(node)

    def add(self, node: ast.AST, new: ast.AST | None, apply: Callable[[], None]) -> None:
        old = ast.unparse(node).splitlines()[0]
        to = "nothing" if new is None else ast.unparse(ast.fix_missing_locations(new))
        # Of a statement that holds no others, coverage may know the first line alone.
        simple = not hasattr(self.statement, "body")
        place = self.statement if simple or not hasattr(node, "lineno") else node
        lines = range(place.lineno, (place.end_lineno or place.lineno) + 1)
        text = f"{old} -> {to.splitlines()[0] if to else to}"
        self.found.append(Mutant(self.path, lines, text, apply, self.tree, not self.functions))

    def replace(self, node: ast.AST, new: ast.AST, within: ast.AST | None = None) -> None:
        """Node becomes `new`, by taking its class and its fields."""

        def apply() -> None:
            node.__class__ = new.__class__
            for name in new._fields:
                setattr(node, name, getattr(new, name))

        self.add(within or node, None if isinstance(new, ast.Pass) else new, apply)

    def set(self, node: ast.AST, name: str, new: object) -> None:
        """A field of the node becomes something else."""
        old = getattr(node, name)
        setattr(node, name, new)
        changed = ast.parse(ast.unparse(ast.fix_missing_locations(node))).body[0]
        setattr(node, name, old)
        self.add(node, changed, lambda: setattr(node, name, new))

    def expressions(self, *nodes: ast.AST | None) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    # What is left as it is.

    def visit_Import(self, node: ast.Import) -> None: ...
    def visit_ImportFrom(self, node: ast.ImportFrom) -> None: ...
    def visit_Assert(self, node: ast.Assert) -> None: ...

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant):
            return
        if isinstance(node.value, ast.Call) and _name(node.value.func) not in TEXT[1:]:
            self.replace(node, ast.Pass(), node.value)
        self.visit(node.value)

    def visit_Raise(self, node: ast.Raise) -> None:
        if node.exc is not None:
            self.replace(node, ast.Pass())

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.expressions(*node.body)

    # Statements.

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.expressions(*node.args.defaults, *node.args.kw_defaults)
        self.functions += 1
        self.expressions(*node.body)
        self.functions -= 1
        for place, decorator in enumerate(node.decorator_list):
            if _name(decorator) in ("no_grad", "cached_property", "final"):
                rest = node.decorator_list[:place] + node.decorator_list[place + 1 :]

                def apply(rest: list[ast.expr] = rest) -> None:
                    node.decorator_list = rest

                self.add(decorator, None, apply)

    def visit_If(self, node: ast.If) -> None:
        if _name(node.test) == "TYPE_CHECKING":
            return
        self.negate(node)
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        self.negate(node)
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.negate(node)
        self.generic_visit(node)

    def negate(self, node: ast.If | ast.While | ast.IfExp) -> None:
        test, new = node.test, ast.UnaryOp(ast.Not(), node.test)
        if not isinstance(test, ast.Compare | ast.UnaryOp) or (
            isinstance(test, ast.Compare)
            and (
                len(test.ops) > 1
                or not isinstance(test.ops[0], ast.Eq | ast.NotEq | ast.Is | ast.IsNot)
            )
        ):
            self.add(test, new, lambda: setattr(node, "test", new))

    def visit_With(self, node: ast.With) -> None:
        if all(item.optional_vars is None for item in node.items):
            self.add(node, None, lambda: self._unwrap(node))
        self.generic_visit(node)

    @staticmethod
    def _unwrap(node: ast.With) -> None:
        body = node.body
        node.__class__ = ast.If  # type: ignore[assignment]
        node.test, node.body, node.orelse = ast.Constant(True), body, []  # type: ignore[attr-defined]

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None:
            if not (isinstance(node.value, ast.Constant) and node.value.value is None):
                self.set(node, "value", ast.Constant(None))
            self.visit(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        if _name(node.targets[0]) == "__all__" or (
            isinstance(node.value, ast.Subscript)
            and _name(node.value) in ("Literal", "Mapping", "Callable")
        ):
            return
        if not isinstance(node.value, ast.Constant):
            self.set(node, "value", ast.Constant(None))
        self.visit(node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            if not isinstance(node.value, ast.Constant) and "Final" not in ast.unparse(
                node.annotation
            ):
                self.set(node, "value", ast.Constant(None))
            self.visit(node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if other := OPERATORS.get(type(node.op)):
            self.set(node, "op", other())
        self.visit(node.value)

    def visit_Break(self, node: ast.Break) -> None:
        self.replace(node, ast.Continue())

    def visit_Continue(self, node: ast.Continue) -> None:
        self.replace(node, ast.Break())

    # Expressions.

    def visit_Call(self, node: ast.Call) -> None:
        name = _name(node.func)
        if name in TEXT:
            return
        if name == "zip":  # strict=True is an assertion
            self.expressions(*node.args)
            return
        if isinstance(node.func, ast.Name) and name in NAMES:
            self.set(node, "func", ast.Name(NAMES[name], ast.Load()))
        for place, keyword in enumerate(node.keywords):
            if keyword.arg is not None:
                self.set(node, "keywords", node.keywords[:place] + node.keywords[place + 1 :])
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        for place, operator in enumerate(node.ops):
            new = COMPARISONS[type(operator)]()
            self.set(node, "ops", [*node.ops[:place], new, *node.ops[place + 1 :]])
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if other := OPERATORS.get(type(node.op)):
            self.set(node, "op", other())
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        self.set(node, "op", ast.And() if isinstance(node.op, ast.Or) else ast.Or())
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        self.replace(node, node.operand)
        self.visit(node.operand)

    def visit_Slice(self, node: ast.Slice) -> None:
        for name in ("lower", "upper", "step"):
            if getattr(node, name) is not None:
                new = ast.Slice(**{n: getattr(node, n) for n in node._fields if n != name})
                self.add(node, new, lambda name=name: setattr(node, name, None))
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for place, test in enumerate(node.ifs):
            rest = node.ifs[:place] + node.ifs[place + 1 :]
            self.add(test, None, lambda rest=rest: setattr(node, "ifs", rest))
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self.replace(node, ast.Constant(not value))
        elif isinstance(value, int):
            self.replace(node, ast.Constant(value + 1))
        elif isinstance(value, float):
            self.replace(node, ast.Constant(value * 2 or 1.0))
        elif isinstance(value, str) and value:
            self.replace(node, ast.Constant(f"XX{value}"))

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        new = ast.JoinedStr([ast.Constant("XX"), *node.values])
        self.replace(node, new)
        for value in node.values:
            if isinstance(value, ast.FormattedValue):
                self.visit(value.value)


def _name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Call(func=value) | ast.Subscript(value=value):
            return _name(value)
    return ""
