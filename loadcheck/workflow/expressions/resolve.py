"""From what a document says to values: every string read as expression, template or literal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from loadcheck.documents.document import MISSING
from loadcheck.documents.reader import DocumentReporter, Path
from loadcheck.workflow.expressions.grammar import (
    LATER,
    OWN,
    OWN_REMEDY,
    SECTION,
    Expression,
    ExpressionError,
    is_expression,
    is_own,
    is_selector,
    parse_expression,
    unknown_root,
    version_of,
)
from loadcheck.workflow.expressions.scope import Scope
from loadcheck.workflow.expressions.selectors import select_value
from loadcheck.workflow.expressions.templates import (
    Bare,
    is_bare_text,
    is_broken_json,
    join_template,
    split_template,
    unbraced,
    with_braces,
)
from loadcheck.workflow.expressions.values import (
    Constant,
    Dynamic,
    JsonTemplate,
    Template,
    as_dynamic,
    as_text,
)

SELECTOR: Final = "Selector Object"


class Resolver:
    """Resolves the strings of one workflow, reporting what is wrong with them.

    Args:
        scope: What expressions refer to.
        scribe: Takes problems.
        own: Whether expressions of our own (``$copy.userId``) are known.
        encode: Applied to values that are known already, where they are put into a string.
    """

    def __init__(
        self,
        scope: Scope,
        scribe: DocumentReporter,
        *,
        own: bool = False,
        encode: Callable[[str], bytes] | None = None,
    ) -> None:
        self.scope = scope
        self.scribe = scribe
        self._own = own
        self._encode = encode
        self._selects = own or version_of(scribe.document.root) == LATER

    def value(self, raw: Any, path: Path) -> Any:
        """Return a JSON value with every string in it resolved.

        Members and items whose expression has no value, now or ever, are left out. The value as a
        whole may be ``MISSING``.
        """
        if isinstance(raw, str):
            return self.string(raw, path)
        if self._selects and is_selector(raw):
            return self._selected(raw, path)
        if isinstance(raw, dict):
            members = {name: self.value(value, (*path, name)) for name, value in raw.items()}
            return {name: value for name, value in members.items() if value is not MISSING}
        if isinstance(raw, list):
            items = [self.value(value, (*path, index)) for index, value in enumerate(raw)]
            return [value for value in items if value is not MISSING]
        return raw

    def _selected(self, raw: dict[str, Any], path: Path) -> Any:
        context = self.string(raw["context"], (*path, "context"))
        try:
            return select_value(raw, context)
        except ExpressionError as error:
            self.scribe.error((*path, "selector"), error.message, error.remedy, SELECTOR)
            return Dynamic(text=str(raw["context"]), evaluate=lambda _: MISSING)

    def string(self, raw: str, path: Path) -> Any:
        """Return what a string means; ``MISSING`` if it has no value.

        What was reported has a value that is known only when a copy runs, so that nothing else is
        reported of it.
        """
        if "$" not in raw:
            return raw
        try:
            if (is_own(raw) or is_expression(raw, own=self._own)) and not is_bare_text(raw):
                return self.expression(parse_expression(raw), path)
            self._check_root(raw, path)
            return self._template(raw, path)
        except ExpressionError as error:
            self.scribe.error(path, error.message, error.remedy, SECTION)
            return Dynamic(text=raw, evaluate=lambda _: MISSING)

    def _check_root(self, raw: str, path: Path) -> None:
        """Refuse text that begins like an expression whose root is misspelt; warn of the like.

        Raises:
            ExpressionError: It is most likely meant as an expression.
        """
        found = unknown_root(raw, own=self._own)
        if found is None:
            return
        root, meant = found
        if meant:
            raise ExpressionError(
                f'"{raw}" would be sent as text: "{root}" begins no expression',
                f'did you mean "{meant}"?',
            )
        self.scribe.warn(
            path,
            f'"{raw}" is sent as text: "{root}" begins no expression',
            "expressions begin with $inputs, $steps, $response, …",
            SECTION,
        )

    def operand(self, expression: Expression) -> Any:
        """Return the value of an expression.

        Raises:
            ExpressionError: It refers to nothing, or is loadcheck's own in an Arazzo document.
        """
        if expression.root in OWN and not self._own:
            raise ExpressionError(
                f'"{expression.text}" is no runtime expression of Arazzo', OWN_REMEDY
            )
        return self.scope.resolve(expression)

    def expression(self, expression: Expression, path: Path) -> Any:
        """Return the value of an expression that stands alone.

        Raises:
            ExpressionError: It refers to nothing.
        """
        value = self.operand(expression)
        tokens = self.scope.tokens
        if tokens and tokens[-1] == "length":
            whole = self.scope.conforming(expression).removesuffix("/length").removesuffix("#")
            self.scribe.warn(
                path,
                f'"{expression.text}": an expression has no length, this is a member "length"',
                f'take the whole of it, "{whole}", and test an item: type jsonpath, "$[0]"',
                SECTION,
            )
        elif self.scope.conforming(expression) != expression.text:
            shorter = expression.standard and not tokens and self._is_first_version
            if not shorter:
                self.scribe.warn(
                    path,
                    f'"{expression.text}" is not spelt as the specification has it',
                    f'write "{self.scope.conforming(expression)}"',
                    SECTION,
                )
        return value

    @property
    def _is_first_version(self) -> bool:
        """Whether the document is of Arazzo 1.0.0, which had spellings of its own."""
        root = self.scribe.document.root
        return isinstance(root, dict) and root.get("arazzo") == "1.0.0"

    def _template(self, raw: str, path: Path) -> str | Template | JsonTemplate:
        parts: list[str | Constant | Dynamic] = []
        for part in split_template(raw, own=self._own):
            if isinstance(part, str):
                self._suspect(part, raw, path)
                parts.append(part)
                continue
            if isinstance(part, Bare):
                expression = self._bare(part, raw, path)
                if expression is None:
                    parts.append(part.text)
                    continue
            else:
                expression = part
            value = self.expression(expression, path)
            if value is MISSING:
                raise ExpressionError(f'"{expression.text}" has no value, in "{raw}"')
            parts.append(as_dynamic(value) or self._known(value))
        value = join_template(parts)
        if is_broken_json(parts):
            raise ExpressionError(
                f'"{raw}" looks like JSON text and is none', "check its quotes and brackets"
            )
        return value

    def _known(self, value: Any) -> Constant | str:
        return Constant(value) if self._encode is None else self._encode(as_text(value)).decode()

    def _suspect(self, literal: str, raw: str, path: Path) -> None:
        for text in unbraced(literal):
            self.scribe.warn(
                path,
                f'"{text}" inside a longer string is sent as it is written',
                f'if it is meant as an expression, write "{with_braces(raw)}"',
                SECTION,
            )

    def _bare(self, bare: Bare, raw: str, path: Path) -> Expression | None:
        braced = raw.replace(bare.text, f"{{{bare.text}}}")
        if bare.name in self.scope.face.inputs:
            self.scribe.warn(
                path,
                f'"{bare.text}" inside a longer string stands without braces',
                f'write "{braced}"',
                SECTION,
            )
            return parse_expression(bare.text)
        self.scribe.warn(
            path,
            f'"{bare.text}" is sent as it is written: no such input is declared',
            f'if it is meant as an expression, declare the input and write "{braced}"',
            SECTION,
        )
        return None
