"""Options, each declared once: type, unit, default, check and a sentence, from which all else follows.

A class of options is a frozen dataclass below `Options` whose fields are made by `option`, and those of a
command by `group` as well. Signatures (`spelled_out`), flags, variables, files and the docs read them.
"""

import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from functools import cached_property, wraps
from itertools import takewhile
from typing import Any, Concatenate, ParamSpec, TypeVar

from partitioner.common.nearest import nearest
from partitioner.settings.kinds import Kind
from protos.errors import UsageError

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")

_ABOUT, _GROUP = "about", "group"


@dataclass(frozen=True)
class About:
    """What a declaration says beside name, type and default; see `option`."""

    sentence: str
    kind: Kind | None
    shown: str
    none: str
    holds: Callable[[Any], bool] | None
    wrong: str
    panel: str
    written: str
    given: str


def about(
    sentence: str,
    kind: Kind | None = None,
    *,
    shown: str = "",
    none: str = "",
    holds: Callable[[Any], bool] | None = None,
    wrong: str = "",
    panel: str = "",
    written: str = "",
    given: str = "",
) -> dict[str, Any]:
    """Return the metadata of a field that is an option without a default; see `option`."""
    return {_ABOUT: About(sentence, kind, shown, none, holds, wrong, panel, written, given)}


def option(default: T, sentence: str, kind: Kind | None = None, **more: Any) -> T:
    """Declare an option of a frozen dataclass.

    `kind`: how it is written, where it can be; None: only a program can give it. `shown`: the default in
    words, where a value says less. `none`: the word that is written for None. `holds`: what is asked of a
    value that is not None, and `wrong`: the sentence of the UsageError otherwise, with {} for the value.
    `panel`: the heading under which `--help` and the docs show it. `written`: how people write it, as
    `as 100ms`; `given`: how a program gives it, where its unit does not say that.
    """
    shown = kind is None or not kind.secret
    return field(default=default, repr=shown, metadata=about(sentence, kind, **more))


def worked_out(find: Callable[[], T], sentence: str, kind: Kind, **more: Any) -> T:
    """Declare an option whose default is found out where it runs; `shown` says what that is."""
    return field(default_factory=find, metadata=about(sentence, kind, **more))


def group(kind: type[T], **defaults: object) -> T:
    """Declare that a command takes all options of another class, some with `defaults` of its own."""
    return field(metadata={_GROUP: (kind, defaults)})  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Declared:
    """One option as it was declared, in whatever class."""

    name: str
    """As Python has it: `deadline_s`."""
    default: Any
    """MISSING if it has to be given, or is worked out."""
    find: Any
    """What works it out; MISSING if nothing does."""
    about: About
    takes_none: bool
    """True where None is a value, by its type."""

    @cached_property
    def key(self) -> str:
        """As people write it, who write the unit with the value: `deadline`."""
        unit = self.about.kind.unit if self.about.kind else ""
        return self.name.removesuffix(unit)

    @property
    def is_secret(self) -> bool:
        """True where only a variable gives it, and nothing may show it."""
        return self.about.kind is not None and self.about.kind.secret

    @property
    def flag(self) -> str:
        """As a command takes it: `--deadline`; no secret has one."""
        return "--" + self.key.replace("_", "-")

    @property
    def required(self) -> bool:
        """True where there is no default."""
        return self.default is MISSING and self.find is MISSING

    @property
    def kind(self) -> Kind:
        """How it is written."""
        if self.about.kind is None:
            raise UsageError(f"{self.name} cannot be written: only a program can give it.")
        return self.about.kind

    @property
    def metavar(self) -> str:
        """The word for its value in help and docs, with the word that is written for None."""
        words = self.kind.metavar.split("|")
        return "|".join(words if self.about.none in ("", *words) else (*words, self.about.none))

    @property
    def written_default(self) -> Any:
        """The default as people would write it; None where that is not possible."""
        default = self.default if self.find is MISSING else self.find()
        return self.about.none or None if default is None else self.kind.write(default)

    @property
    def written_sentence(self) -> str:
        """What it does, for people who write it."""
        sentence, written = self.about.sentence, self.about.written
        return f"{sentence.removesuffix('.')}, {written}." if written else sentence

    @property
    def given_sentence(self) -> str:
        """What it does, for programs, which give it with the unit in its name."""
        units = {"_s": "In seconds.", "_bytes": "In bytes."}
        how = self.about.given or units.get(self.about.kind.unit if self.about.kind else "", "")
        return f"{self.about.sentence} {how}".rstrip()

    def check(self, value: Any) -> None:
        """Raise UsageError for a value that is not what was declared."""
        if value is None and self.takes_none:
            return
        if self.about.kind is not None:
            self.about.kind.check(self.name, value)
        if self.about.holds is not None and not self.about.holds(value):
            raise UsageError(self.about.wrong.format(value))

    def read(self, written: Any, called: str = "") -> Any:
        """Return the value that is written so, checked. Raises UsageError, which names the flag.

        `called`: what it names instead, where a file or a variable gave the value.
        """
        if written is None or (self.about.none and str(written) == self.about.none):
            return None
        other = f" Or write {self.about.none}." if self.about.none else ""
        try:
            value = self.kind.read(written)
            other = ""
            self.check(value)
        except UsageError as error:
            raise UsageError(f"{called or self.flag} is wrong: {error}{other}") from error
        return value


class Options:
    """The base of frozen dataclasses of options: what is made has been checked."""

    def __post_init__(self) -> None:
        for declared in options_of(type(self), nested=False):
            declared.check(getattr(self, declared.name))


def options_of(kind: Any, *, nested: bool = True) -> tuple[Declared, ...]:
    """Return the options of a class in the order of its signature, with those of its groups."""
    return tuple(_options_of(kind, {}, nested))


def _options_of(kind: Any, defaults: Mapping[str, Any], nested: bool) -> Iterator[Declared]:
    for one in sorted(fields(kind), key=lambda field: bool(field.kw_only)):
        if _ABOUT in one.metadata:
            default = defaults.get(one.name, one.default)
            takes_none = "None" in str(one.type)
            yield Declared(one.name, default, one.default_factory, one.metadata[_ABOUT], takes_none)
        elif nested and _GROUP in one.metadata:
            kind_of_group, own = one.metadata[_GROUP]
            yield from _options_of(kind_of_group, own, nested)


def writable(kind: Any) -> tuple[Declared, ...]:
    """Return the options of a class and its groups that people can write."""
    return tuple(one for one in options_of(kind) if one.about.kind is not None)


def make(kind: type[T], values: Mapping[str, Any]) -> T:
    """Return a `kind` with its groups, from the values of their options by name. Raises UsageError."""
    given: dict[str, Any] = {}
    for one in fields(kind):  # type: ignore[arg-type]  # a dataclass, as all classes of options
        if _GROUP in one.metadata:
            given[one.name] = make(one.metadata[_GROUP][0], values)
        elif one.name in values and one.metadata[_ABOUT].kind is not None:  # else it is another's
            given[one.name] = values[one.name]
    return kind(**given)


class _AsWritten(str):
    """An annotation in quotes, which `help` shall show without them."""

    __slots__ = ()
    __repr__ = str.__str__


def spelled_out(
    options: Callable[P, T],
) -> Callable[[Callable[[S, T], None]], Callable[Concatenate[S, P], None]]:
    """Give an `__init__` that takes a class of options the signature of that class, and its sentences.

    Type checkers, `inspect.signature` and `help` then show every option as if it were written there.
    One before the others that has no default and may be None may be left out where the others go by name.
    Raises UsageError when called with options that there are not, or without one that is needed.
    """

    def decorate(init: Callable[[S, T], None]) -> Callable[Concatenate[S, P], None]:
        @wraps(init)
        def spelled(self: S, /, *args: P.args, **kwargs: P.kwargs) -> None:
            for name in optional[len(args) :]:
                kwargs.setdefault(name, None)
            _check_call(type(self).__name__, takes, args, kwargs)
            init(self, options(*args, **kwargs))

        takes = inspect.signature(options)
        optional = _optional(options)
        own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
        taken = [
            parameter.replace(annotation=_AsWritten(parameter.annotation))
            if isinstance(parameter.annotation, str)
            else parameter
            for parameter in takes.parameters.values()
        ]
        spelled.__signature__ = inspect.Signature([own, *taken])  # type: ignore[attr-defined]
        spelled.__doc__ = "\n".join(
            (init.__doc__ or "The options:", *map(_line, options_of(options)))
        )
        return spelled

    return decorate


def _optional(options: Any) -> tuple[str, ...]:
    """Return the first options that have no default and may be None."""
    first = takewhile(lambda one: one.required and one.takes_none, options_of(options))
    return tuple(one.name for one in first)


def _check_call(
    name: str, takes: inspect.Signature, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> None:
    for given in kwargs:
        if given not in takes.parameters:
            raise UsageError(
                f"{name} has no option {given!r}. The nearest is {nearest(given, takes.parameters)!r}; "
                f"help({name}) lists them all."
            )
    try:
        takes.bind(*args, **kwargs)
    except TypeError as error:
        raise UsageError(
            f"{name} was called wrongly: {error}. It takes {name}{_call_of(takes)}; the options after "
            "these go by their names."
        ) from error


def _call_of(takes: inspect.Signature) -> str:
    """Return `(cloud, bundle, cut=…)`: what may be given without a name."""
    known = (one for one in takes.parameters.values() if one.kind is not one.KEYWORD_ONLY)
    return f"({', '.join(one.name + '=…' * (one.default is not one.empty) for one in known)})"


def _line(declared: Declared) -> str:
    shown = f" Default: {declared.about.shown}." if declared.about.shown else ""
    line = f"{declared.name}: {declared.given_sentence}{shown}"
    return textwrap.fill(line, 96, initial_indent="  ", subsequent_indent="      ")
