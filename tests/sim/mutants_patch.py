"""A mutant: a safeguard that is taken out of the product while a campaign runs.

Knows: how the source of one function is changed and put in place. Must not know: which functions,
what finds it.

Rules:
    - A mutant is a change of text, the smallest that a programmer could have made by mistake. What
      it stands for is read in one look, as in a diff.
    - The text to replace stands in its function exactly once. So a mutant whose target was renamed,
      moved or written anew fails; it never just does nothing.
    - The code of the function itself is exchanged, so whoever holds the function, by whatever name,
      runs the mutant.
"""

from __future__ import annotations
import __future__

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any


class Misfit(Exception):
    """A mutant does not fit the product as it is now."""


@dataclass(frozen=True, slots=True)
class Edit:
    """``before`` becomes ``after`` in the source of one function or property."""

    target: Callable[..., Any] | property
    before: str
    after: str

    def function(self) -> FunctionType:
        """What is to be changed."""
        found: object = self.target.fget if isinstance(self.target, property) else self.target
        found = getattr(found, "__func__", found)
        found = getattr(found, "__wrapped__", found)
        if not isinstance(found, FunctionType):
            raise Misfit(f"{self.target!r} is not a function")
        return found

    def code(self) -> CodeType:
        """The changed code.

        Raises:
            Misfit: the text is not there exactly once, or what comes of it is no such function.
        """
        function = self.function()
        lines, first_line = inspect.getsourcelines(function)
        source = textwrap.dedent("".join(lines))
        count = source.count(self.before)
        if count != 1:
            raise Misfit(f"{function.__qualname__} has {self.before!r} {count} times")
        changed = source.replace(self.before, self.after)
        try:
            tree = ast.parse(changed)
        except SyntaxError as error:
            raise Misfit(f"{function.__qualname__}: {error}") from error
        if ast.dump(tree) == ast.dump(ast.parse(source)):
            raise Misfit(f"{function.__qualname__} is the same with {self.after!r}")
        # Tracebacks of a mutant name the lines of the file.
        ast.increment_lineno(tree, first_line - 1)
        flags = __future__.annotations.compiler_flag
        module = compile(tree, function.__code__.co_filename, "exec", flags, dont_inherit=True)
        found = [part for part in module.co_consts if isinstance(part, CodeType)]
        named = [code for code in found if code.co_name == function.__name__]
        if len(named) != 1 or named[0].co_freevars != function.__code__.co_freevars:
            raise Misfit(f"{function.__qualname__} does not stand alone")
        return named[0]

    @contextmanager
    def applied(self) -> Iterator[None]:
        """For a while the function is the changed one."""
        function, changed = self.function(), self.code()
        original = function.__code__
        function.__code__ = changed
        # What it answered before it was changed is not what it would answer now, and vice versa.
        forget: Callable[[], object] = getattr(self.target, "cache_clear", lambda: None)
        forget()
        try:
            yield
        finally:
            function.__code__ = original
            forget()


@dataclass(frozen=True, slots=True)
class Mutant:
    """One safeguard less.

    Attributes:
        name: what the mutant does.
        rule: what the safeguard keeps true.
        trial: given a seed, what takes the place of a campaign, for what no history shows; it
            returns its figures, and what is wrong.
    """

    name: str
    rule: str
    edits: tuple[Edit, ...]
    trial: Callable[[int], tuple[str, list[str]]] | None = None

    @contextmanager
    def applied(self) -> Iterator[None]:
        """For a while the product is without it. Raises ``Misfit``."""
        with ExitStack() as stack:
            for edit in self.edits:
                stack.enter_context(edit.applied())
            yield
