"""Typed events: the annotations of a handler as what its arguments are checked and converted with.

msgspec does the work for all arguments at once: they are the fields of a struct made for the signature. What
it cannot express is converted field by field: pydantic models, bytes, unions of types it cannot tell apart.

A signature is read once per function, not once per connection: handlers are mostly closures, made anew for
each socket from the same code, so what was read is kept with the code object.
"""

from __future__ import annotations

import inspect
import math
import re
import sys
import types
import typing
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Union

from fastsio._emitter import Plan
from fastsio.exceptions import InvalidArguments

__all__ = ["read_plan"]

# What an annotation says that says nothing.
_ANYTHING = (Any, object, inspect.Parameter.empty)
_BYTES_LIKE = (bytes, bytearray, memoryview)
_UNIONS = (Union, types.UnionType)
_PATH = re.compile(r" - at `\$\[(\d+)\](.*)`$", re.DOTALL)

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

# Code objects that are remembered; a program that compiles functions for ever must not fill the memory.
_MAX_KNOWN = 4096
_MISSING = inspect.Parameter.empty


class _Known:
    """What was read from one code object, and from which annotations and defaults."""

    __slots__ = ("_annotations", "_code", "_defaults", "plan")

    def __init__(
        self,
        code: types.CodeType,
        annotations: dict[str, Any],
        defaults: tuple[Any, ...],
        plan: Plan | None,
    ) -> None:
        self._code = code  # kept alive: its id is the key
        self._annotations = annotations
        self._defaults = defaults
        self.plan = plan

    def holds_for(self, annotations: dict[str, Any], defaults: tuple[Any, ...]) -> bool:
        """Whether another function made from the same code is read the same."""
        if self._annotations != annotations or len(self._defaults) != len(defaults):
            return False
        for mine, other in zip(self._defaults, defaults, strict=True):
            if mine is not other:
                return False
        return True


_known: dict[tuple[int, int], _Known] = {}


def read_plan(fn: Callable[..., Any], annotations: dict[str, Any], given: int = 0) -> Plan | None:
    """A plan that converts the arguments of ``fn`` as its annotations ask; None if they ask for nothing.

    :param annotations: those of ``fn``, as they stand.
    :param given: how many positional arguments come from elsewhere, in front of the client's.
    :raises TypeError: for annotations that cannot be resolved, or that no value can be converted to.
    """
    target = fn.__func__ if isinstance(fn, types.MethodType) else fn
    if not isinstance(target, types.FunctionType) or hasattr(target, "__wrapped__"):
        return _read(fn, given)
    key = (id(target.__code__), given + (target is not fn))
    defaults = target.__defaults__ or ()
    known = _known.get(key)
    if known is not None and known.holds_for(annotations, defaults):
        return known.plan
    plan = _read(fn, given)
    if len(_known) >= _MAX_KNOWN:
        _known.clear()
    _known[key] = _Known(target.__code__, annotations, defaults, plan)
    return plan


def _read(fn: Callable[..., Any], given: int) -> Plan | None:
    parameters = [
        parameter
        for parameter in inspect.signature(fn).parameters.values()
        if parameter.kind in _POSITIONAL or parameter.kind is parameter.VAR_POSITIONAL
    ]
    for parameter in parameters[given:]:
        if parameter.annotation not in _ANYTHING:
            break
    else:
        return None
    globals_ = getattr(inspect.unwrap(_innermost(fn)), "__globals__", {})
    fields = [_Field(fn, parameter, globals_) for parameter in parameters[given:]]
    if all(field.type in _ANYTHING for field in fields):
        return None
    return Plan(convert=_Signature(fn, fields).convert)


def _innermost(fn: Callable[..., Any]) -> Callable[..., Any]:
    while isinstance(fn, partial):
        fn = fn.func
    if inspect.isroutine(fn):
        return fn
    call: Callable[..., Any] = type(fn).__call__
    return call


class _Field:
    """One parameter: its name, resolved type, default."""

    __slots__ = ("default", "name", "type", "variadic")

    def __init__(
        self, fn: Callable[..., Any], parameter: inspect.Parameter, globals_: dict[str, Any]
    ) -> None:
        self.name = parameter.name
        self.default = parameter.default
        self.variadic = parameter.kind is parameter.VAR_POSITIONAL
        self.type: Any = Any
        if parameter.annotation is not _MISSING:
            holder = types.SimpleNamespace(__annotations__={self.name: parameter.annotation})
            try:
                self.type = typing.get_type_hints(holder, globals_, {}, include_extras=True)[self.name]
            except Exception as error:
                raise TypeError(
                    f"{_where(fn, self.name)}: annotation {parameter.annotation!r} cannot be resolved "
                    f"({error}); import it where the module runs, or set option typed_events to False"
                ) from error


def _where(fn: Callable[..., Any], parameter: str) -> str:
    return f"handler {getattr(fn, '__qualname__', fn)}, parameter {parameter!r}"


def _no_ack(*args: Any) -> None:
    """The acknowledgement nobody asked for."""


class _Signature:
    """What a handler takes from the client, and how the values get there."""

    def __init__(self, fn: Callable[..., Any], fields: list[_Field]) -> None:
        self._rest = fields.pop() if fields and fields[-1].variadic else None
        self._ack: _Field | None = None
        if self._rest is None and fields and _is_callable(fields[-1].type):
            self._ack = fields.pop()
        # Without an annotation, the last may be the client's or the acknowledgement.
        self._last_is_open = bool(
            self._rest is None and self._ack is None and fields and fields[-1].type in _ANYTHING
        )
        self._fields = fields
        self._names = [field.name for field in fields]
        self._least = sum(field.default is _MISSING for field in fields)
        self._most = len(fields) if self._rest is None else math.inf
        self._fixes: list[tuple[int, Callable[[Any], Any]]] = []
        self._fix_rest: Callable[[Any], Any] | None = None
        self._convert: Callable[[Any], tuple[Any, ...]] | None = None
        self._prepare(fn)

    def _prepare(self, fn: Callable[..., Any]) -> None:
        struct_fields: list[tuple[str, Any]] = []
        for index, field in enumerate(self._fields):
            if _is_callable(field.type):
                raise TypeError(f"{_where(fn, field.name)}: the acknowledgement is the last parameter")
            fix = _own_converter(fn, field)
            if fix is not None:
                self._fixes.append((index, fix))
            struct_fields.append((field.name, Any if fix is not None else field.type))
        if self._rest is not None:
            self._names.append(self._rest.name)
            if self._rest.type not in _ANYTHING:
                self._fix_rest = _own_converter(fn, self._rest) or _converter(self._rest.type)
        if any(type_ not in _ANYTHING for _, type_ in struct_fields):
            self._convert = _struct_converter([type_ for _, type_ in struct_fields])

    def convert(self, event: str, args: tuple[Any, ...], ack: Any) -> tuple[Any, ...]:
        """The arguments to call the handler with; ``ack`` is the last of them if the handler takes it.

        :raises InvalidArguments: when the client's are not what the handler asks for.
        """
        fields = self._fields
        size, count = len(fields), len(args)
        takes_ack = ack is not None and (
            self._ack is not None or self._rest is not None or (self._last_is_open and count < size)
        )
        least = self._least
        if takes_ack and self._last_is_open and fields[-1].default is _MISSING:
            least -= 1
        if not least <= count <= self._most:
            raise InvalidArguments(event, self._wrong_count(least, count))
        values = args[:size]
        if self._convert is not None:
            try:
                values = self._convert(values)[: min(count, size)]
            except ValueError as error:
                raise InvalidArguments(event, self._wrong_value(str(error))) from error
        if self._fixes or count > size:
            values = self._fix(event, values, args[size:])
        if takes_ack:
            return (*self._filled(values), ack)
        if self._ack is not None and self._ack.default is _MISSING:
            return (*self._filled(values), _no_ack)
        return values

    def _fix(self, event: str, values: tuple[Any, ...], rest: tuple[Any, ...]) -> tuple[Any, ...]:
        fixed = list(values)
        name = ""
        try:
            for index, fix in self._fixes:
                if index < len(fixed):
                    name = self._names[index]
                    fixed[index] = fix(fixed[index])
            if self._fix_rest is not None:
                for number, value in enumerate(rest):
                    name = f"{self._names[-1]}[{number}]"
                    fixed.append(self._fix_rest(value))
            else:
                fixed += rest
        except ValueError as error:
            raise InvalidArguments(event, _detail(name, str(error))) from error
        return tuple(fixed)

    def _filled(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        """``values`` and the defaults behind them, up to where the acknowledgement goes."""
        end = len(self._fields) - self._last_is_open
        if len(values) >= end:
            return values
        return values + tuple(field.default for field in self._fields[len(values) : end])

    def _wrong_count(self, least: int, count: int) -> str:
        if self._most == math.inf:
            takes = f"at least {least}"
        elif self._most == least:
            takes = str(least)
        else:
            takes = f"{least} to {self._most}"
        return f"takes {takes} argument{'' if takes.endswith('1') else 's'}, got {count}"

    def _wrong_value(self, message: str) -> str:
        found = _PATH.search(message)
        if found is None:
            return message
        return _detail(self._names[int(found[1])], f"{message[: found.start()]} - at `${found[2]}`")


def _detail(name: str, message: str) -> str:
    """``message`` on the value ``name``: a path in it, as msgspec writes it, becomes part of the name."""
    text, _, path = message.partition(" - at `$")
    return f"{name}{path.removesuffix('`')}: {text}"


# -- types ------------------------------------------------------------------------------------------------


def _is_callable(type_: Any) -> bool:
    """Whether it is what an acknowledgement is: ``Callable``, ``Ack``, or a protocol with ``__call__``."""
    if typing.get_origin(type_) in _UNIONS:
        members = [member for member in typing.get_args(type_) if member is not type(None)]
        return all(map(_is_callable, members))
    origin = typing.get_origin(type_) or type_
    return isinstance(origin, type) and any("__call__" in vars(base) for base in origin.__mro__)


def _parts(type_: Any) -> Iterator[Any]:
    yield type_
    for argument in typing.get_args(type_):
        yield from _parts(argument)


def _is_pydantic(type_: Any) -> bool:
    return "pydantic" in sys.modules and any(
        hasattr(part, "__get_pydantic_core_schema__")
        or hasattr(part, "__pydantic_core_schema__")
        or type(part).__module__.startswith("pydantic.")
        for part in _parts(type_)
    )


def _own_converter(fn: Callable[..., Any], field: _Field) -> Callable[[Any], Any] | None:
    """What converts values of a type that msgspec cannot take; None if it can.

    :raises TypeError: if nothing can.
    """
    type_ = field.type
    if type_ in _ANYTHING:
        return None
    if type_ in _BYTES_LIKE:
        return partial(_to_bytes, type_)
    try:
        if _is_pydantic(type_):
            return _pydantic_converter(type_)
        _struct_converter([type_])
    except TypeError as error:
        try:
            if typing.get_origin(type_) in _UNIONS:
                return _union_converter(type_)
        except TypeError:
            pass
        raise TypeError(
            f"{_where(fn, field.name)}: events cannot be converted to {type_!r}: {error}"
        ) from error
    return None


def _converter(type_: Any) -> Callable[[Any], Any]:
    """Converts one value; raises ValueError.

    :raises TypeError: if there is no way to.
    """
    if type_ in _BYTES_LIKE:
        return partial(_to_bytes, type_)
    if _is_pydantic(type_):
        return _pydantic_converter(type_)
    convert = _struct_converter([type_])

    def converted(value: Any) -> Any:
        try:
            return convert((value,))[0]
        except ValueError as error:
            raise ValueError(str(error).replace(" - at `$[0]`", "").replace("`$[0]", "`$")) from error

    return converted


def _to_bytes(type_: Any, value: Any) -> Any:
    if isinstance(value, type_):
        return value
    if not isinstance(value, _BYTES_LIKE):
        raise ValueError(f"Expected `{type_.__name__}`, got `{type(value).__name__}`")
    return type_(value)


def _union_converter(type_: Any) -> Callable[[Any], Any]:
    """For unions whose members msgspec cannot tell apart: the first that takes the value."""
    converters = [_converter(member) for member in typing.get_args(type_)]
    names = " | ".join(getattr(member, "__name__", str(member)) for member in typing.get_args(type_))

    def convert(value: Any) -> Any:
        for converter in converters:
            try:
                return converter(value)
            except ValueError:
                continue
        raise ValueError(f"Expected `{names}`, got `{type(value).__name__}`")

    return convert


def _struct_converter(types_: list[Any]) -> Callable[[Any], tuple[Any, ...]]:
    """Converts a tuple to one of values of ``types_``, or fewer; raises ValueError.

    :raises TypeError: for a type that msgspec does not know how to make.
    """
    import msgspec

    fields = [(f"field{index}", type_, msgspec.UNSET) for index, type_ in enumerate(types_)]
    struct = msgspec.defstruct("Arguments", fields, array_like=True, gc=False)
    msgspec.convert((), struct)  # reads all the types there are
    options: dict[str, Any] = {}
    # Either costs a microsecond per event, and most signatures need neither.
    for info in _infos(msgspec.inspect.type_info(struct)):
        if isinstance(
            info, msgspec.inspect.BytesType | msgspec.inspect.ByteArrayType | msgspec.inspect.MemoryViewType
        ):
            options["builtin_types"] = _BYTES_LIKE  # bytes come as bytes, not as base64
        elif isinstance(info, msgspec.inspect.DictType) and not isinstance(
            info.key_type, msgspec.inspect.StrType | msgspec.inspect.AnyType
        ):
            options["str_keys"] = True  # JSON's are: those of dict[int, …] are read from them
    convert = partial(msgspec.convert, type=struct, **options)
    astuple = msgspec.structs.astuple
    return lambda values: astuple(convert(values))


def _infos(info: Any) -> Iterator[Any]:
    """A type as msgspec describes it, and all it is made of."""
    seen: set[int] = set()
    waiting = [info]
    while waiting:
        info = waiting.pop()
        if isinstance(info, tuple | list):
            waiting += info
        elif type(info).__module__.startswith("msgspec") and id(info) not in seen:
            seen.add(id(info))
            yield info
            waiting += (getattr(info, name) for name in getattr(info, "__struct_fields__", ()))


def _pydantic_converter(type_: Any) -> Callable[[Any], Any]:
    import pydantic

    try:
        adapter = pydantic.TypeAdapter(type_)
    except pydantic.errors.PydanticUserError as error:
        raise TypeError(str(error)) from error

    def convert(value: Any) -> Any:
        try:
            return adapter.validate_python(value)
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
            more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
            raise ValueError(f"{first['msg']}{more} - at `${path}`") from error

    return convert
