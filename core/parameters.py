"""The parameters of a task's function: names, resolved annotations, defaults; and which functions cannot be served."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, get_type_hints

from pydantic.fields import FieldInfo

from core.errors import TaskDefinitionError

_UNSUPPORTED_KINDS: Final[Mapping[Any, str]] = {
    inspect.Parameter.POSITIONAL_ONLY: "is positional-only, but a body names its arguments; remove the '/'",
    inspect.Parameter.VAR_POSITIONAL: "takes any number of values, but a body names its arguments; take one list instead,"
    " as in numbers: list[int]",
    inspect.Parameter.VAR_KEYWORD: "takes any names, but a body is checked against the signature; write the parameters out,"
    " or take one dict, as in options: dict[str, Any]",
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter that a body can name. The annotation is Any where the function has none."""

    name: str
    annotation: Any
    is_required: bool
    is_keyword_only: bool
    default: Any = None


def task_function(task: Any) -> Callable[..., Any]:
    """Return what a Celery task runs: without `self` (bind=True), inside the wrapper that autoretry_for puts around it."""
    function: Callable[..., Any] = getattr(task, "_orig_run", task.run)
    return function


def read_parameters(task: str, function: Callable[..., Any]) -> tuple[Parameter, ...]:
    """Return the parameters of a task's function in order. Raises TaskDefinitionError for what no body can express."""
    _check_function(task, function)
    namespace = _globals_of(function)
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError, NameError) as error:
        raise TaskDefinitionError(f"task '{task}': its signature cannot be read ({error}); use a plain function") from error
    return tuple(_read(task, parameter, namespace) for parameter in signature.parameters.values())


def _check_function(task: str, function: Callable[..., Any]) -> None:
    if inspect.iscoroutinefunction(function):
        raise TaskDefinitionError(
            f"task '{task}' is an async function, which Celery does not run; write `def` and call asyncio.run(...) inside"
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TaskDefinitionError(f"task '{task}' is a generator, whose body would never run; return a list instead")


def _globals_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the namespace in which string annotations are meant: that of the innermost wrapped function."""
    innermost = inspect.unwrap(function)
    innermost = inspect.unwrap(getattr(innermost, "__func__", innermost))
    namespace: dict[str, Any] = getattr(innermost, "__globals__", {})
    return namespace


def _read(task: str, parameter: inspect.Parameter, namespace: Mapping[str, Any]) -> Parameter:
    if reason := _UNSUPPORTED_KINDS.get(parameter.kind):
        raise TaskDefinitionError(f"task '{task}': parameter '{parameter.name}' {reason}")
    if isinstance(parameter.default, FieldInfo):
        raise TaskDefinitionError(
            f"task '{task}': the default of parameter '{parameter.name}' is pydantic's Field(...), which the function would"
            f" receive as it is; write {parameter.name}: Annotated[..., Field(...)] = default"
        )
    annotation = Any if parameter.annotation is parameter.empty else _resolve(task, parameter, namespace)
    is_required = parameter.default is parameter.empty
    return Parameter(
        name=parameter.name,
        annotation=annotation,
        is_required=is_required,
        is_keyword_only=parameter.kind is parameter.KEYWORD_ONLY,
        default=None if is_required else parameter.default,
    )


def _resolve(task: str, parameter: inspect.Parameter, namespace: Mapping[str, Any]) -> Any:
    # Only the parameters' annotations, one by one: a return type that exists only for type checkers does not matter here.
    holder = type("Annotations", (), {"__annotations__": {"it": parameter.annotation}})
    try:
        return get_type_hints(holder, globalns=dict(namespace), include_extras=True)["it"]
    except Exception as error:
        # An annotation is any expression; the start must name the task, whatever it raises.
        raise TaskDefinitionError(
            f"task '{task}': the annotation of parameter '{parameter.name}' cannot be resolved"
            f" ({type(error).__name__}: {error}); import its names at module level, not only under TYPE_CHECKING"
        ) from error
