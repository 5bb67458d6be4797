"""Mutants by Cosmic Ray's operators, and a few more of the kind that it has not got."""

from __future__ import annotations

import ast
from functools import cache

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.number_replacer import NumberReplacer
from cosmic_ray.operators.operator import Example, Operator
from cosmic_ray.plugins import get_operator
from mutants import MODULES, Mutant, applied, scopes, source_of
from parso.python.tree import Keyword, Name, Number, String

#: Of Cosmic Ray's: each sign becomes its opposite or its neighbour, not all of eleven others.
CHOSEN = [
    *(
        f"core/ReplaceBinaryOperator_{swap}"
        for swap in (
            "Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul", "Mod_FloorDiv", "Pow_Mul",
            "BitOr_BitAnd", "BitAnd_BitOr",
        )
    ),
    *(
        f"core/ReplaceComparisonOperator_{swap}"
        for swap in (
            "Eq_NotEq", "NotEq_Eq", "Lt_LtE", "Lt_GtE", "LtE_Lt", "LtE_Gt", "Gt_GtE", "Gt_LtE",
            "GtE_Gt", "GtE_Lt", "Is_IsNot", "IsNot_Is",
        )
    ),
    *(
        f"core/{name}"
        for name in (
            "ReplaceUnaryOperator_USub_UAdd", "ReplaceUnaryOperator_Delete_Not",
            "ReplaceUnaryOperator_Delete_Invert", "AddNot", "ReplaceTrueWithFalse",
            "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd",
            "ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ExceptionReplacer",
            "RemoveDecorator", "ZeroIterationForLoop",
        )
    ),
]  # fmt: skip


class OneMoreOrLess(NumberReplacer):
    """Cosmic Ray's, without the blank that it puts before the number."""

    def mutate(self, node, index):
        value = super().mutate(node, index).value.strip()
        return Number(value, node.start_pos, node.prefix)


class ScaleFloat(Operator):
    """A tenth less: what is still a legal value, where one more or less is refused."""

    def mutation_positions(self, node):
        if isinstance(node, Number) and isinstance(ast.literal_eval(node.value), float):
            yield node.start_pos, node.end_pos

    def mutate(self, node, index):
        return Number(f"{ast.literal_eval(node.value) * 0.9:.6g}", node.start_pos, node.prefix)

    @classmethod
    def examples(cls):
        return (Example("x = 0.5", "x = 0.45"),)


class DropStatement(Operator):
    """A call, a change of an attribute, an error that is raised: left out."""

    def mutation_positions(self, node):
        if node.type == "simple_stmt" and self.droppable(node.children[0]):
            yield node.start_pos, node.end_pos

    @staticmethod
    def droppable(statement) -> bool:
        if statement.type == "expr_stmt":  # x += 1, self.x = 1, x[0] = 1; not x = 1
            target, sign = statement.children[:2]
            return target.type != "name" or sign.type == "operator" and sign.value != "="
        return statement.type in ("atom_expr", "power", "raise_stmt", "del_stmt")

    def mutate(self, node, index):
        node.children[0] = Keyword("pass", node.start_pos, node.children[0].get_first_leaf().prefix)
        return node

    @classmethod
    def examples(cls):
        return (Example("f(x)\n", "pass\n"), Example("x.y += 1\n", "pass\n"))


class DropArgument(Operator):
    """A keyword argument: left out."""

    def mutation_positions(self, node):
        if node.type == "arglist":
            for child in node.children:
                if child.type == "argument" and child.children[0].type == "name":
                    yield child.start_pos, child.end_pos

    def mutate(self, node, index):
        named = [c for c in node.children if c.type == "argument" and c.children[0].type == "name"]
        at = node.children.index(named[index])
        del node.children[max(at - 1, 0) : max(at - 1, 0) + 2]
        return node

    @classmethod
    def examples(cls):
        return (Example("f(x, y=1)", "f(x)"),)


class DropElement(Operator):
    """One of several strings in a row: left out."""

    def mutation_positions(self, node):
        if node.type in ("testlist_comp", "testlist_star_expr", "testlist"):
            strings = [child for child in node.children[::2] if isinstance(child, String)]
            if len(strings) > 1:
                yield from ((child.start_pos, child.end_pos) for child in strings)

    def mutate(self, node, index):
        strings = [child for child in node.children[::2] if isinstance(child, String)]
        at = node.children.index(strings[index])
        if at == 0:
            node.children[2].prefix = node.children[0].prefix
            del node.children[:2]
        else:
            del node.children[at - 1 : at + 1]
        return node

    @classmethod
    def examples(cls):
        return (Example('x = ("a", "b", "c")', 'x = ("b", "c")'),)


class SwapName(Operator):
    """A function for the one that is easily taken for it."""

    PAIRS = (("any", "all"), ("min", "max"), ("zeros", "ones"), ("sin", "cos"), ("last", "first"))
    OTHER = {a: b for pair in PAIRS for a, b in (pair, pair[::-1])}

    def mutation_positions(self, node):
        if isinstance(node, Name) and node.value in self.OTHER and not node.is_definition():
            yield node.start_pos, node.end_pos

    def mutate(self, node, index):
        return Name(self.OTHER[node.value], node.start_pos, node.prefix)

    @classmethod
    def examples(cls):
        return (Example("any(x)", "all(x)"),)


OWN = (OneMoreOrLess, ScaleFloat, DropStatement, DropArgument, DropElement, SwapName)


def generated(modules=MODULES) -> list[Mutant]:
    """All mutants of these modules, in the order of their lines; no two alike, none the original.

    Those that change an annotation alone are left out: nothing evaluates one here.
    """
    found = {}
    operators = [get_operator(name)() for name in CHOSEN] + [operator() for operator in OWN]
    for module in modules:
        source, at, ours = source_of(module), 0, []
        for part in get_ast(source).children:  # a function or a statement at a time: parsed faster
            code = part.get_code()
            for operator in operators:
                count = sum(len([*operator.mutation_positions(node)]) for node in ast_nodes(part))
                for occurrence in range(count):
                    mutated = mutate_code(code, operator, occurrence)
                    try:
                        if mutated is None or meaning(mutated) == meaning(code):
                            continue
                    except SyntaxError:
                        continue
                    whole = source[:at] + mutated + source[at + len(code) :]
                    ours.append(described(module, source, whole))
            at += len(code)
        found |= dict.fromkeys(mutant for _, mutant in sorted(ours, key=lambda one: one[0]))
    return [*found]


@cache
def meaning(source: str) -> str:
    """What of a source counts: its tree without annotations; SyntaxError if it has none."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.returns = None
        elif isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(0)
    return ast.dump(tree)


def described(module: str, source: str, mutated: str) -> tuple[int, Mutant]:
    """A mutant by its text, and its first line, from 1."""
    old, new = source.splitlines(), mutated.splitlines()
    first = next(i for i, (a, b) in enumerate(zip(old, new)) if a != b)
    rest = min(len(old), len(new)) - first
    tail = next((i for i in range(rest) if old[-1 - i] != new[-1 - i]), rest)
    end = len(old) - tail
    lines, theirs = old[first:end], new[first : len(new) - tail]
    if not theirs:  # a whole line is left out: with the line before it, there is a text
        first -= 1
        lines, theirs = old[first:end], [old[first]]
    indent = len(lines[0]) - len(lines[0].lstrip())
    lines[0], theirs[0] = lines[0][indent:], theirs[0][indent:]
    within = {n: e for n, e in scopes(source).items() if e[0] <= first + 1 and end <= e[1]}
    scope = min(within, key=lambda name: within[name][1] - within[name][0], default="")
    for nth in range(99):
        mutant = Mutant(module, "\n".join(lines), "\n".join(theirs), scope, nth)
        if applied(source, mutant).splitlines() == new:
            return first + 1, mutant
    raise AssertionError("There are not so many places that are alike.")
