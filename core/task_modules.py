"""Importing the modules that TASK_MODULES names, and finding tasks in them that would never reach this service."""

import importlib
import pkgutil
import re
import traceback
from collections.abc import Collection, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from celery import Celery, Task
from celery import _state as celery_state
from celery.local import PromiseProxy

from core.errors import TaskDefinitionError, TaskServiceError

_DOTTED_NAME: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


def import_task_modules(app: Celery, entries: Collection[str]) -> list[ModuleType]:
    """Import each entry, and of a package every module below it; app is Celery's current app meanwhile and afterwards.

    Raises TaskDefinitionError with the module, what went wrong in it, and the next step.
    """
    if not entries:
        raise TaskDefinitionError(
            "TASK_MODULES names no module; set it to the packages with your tasks, as in TASK_MODULES=tasks"
        )
    modules: list[ModuleType] = []
    for entry in entries:
        if not _DOTTED_NAME.fullmatch(entry):
            raise TaskDefinitionError(
                f"TASK_MODULES: '{entry}' is no import path; write dots and no file name, as in shop.mail"
            )
        modules.extend(_import_below(app, entry))
    return modules


def is_inside(module_name: str, entries: Collection[str]) -> bool:
    """Tell whether a module is one of the entries, or below one."""
    return any(module_name == entry or module_name.startswith(f"{entry}.") for entry in entries)


def foreign_task_problems(app: Celery, modules: Collection[ModuleType], entries: Collection[str]) -> Iterator[str]:
    """Yield a sentence for each task that a module below the entries gave to another Celery app than app."""
    found = dict.fromkeys(_pending_elsewhere(app))
    for module in modules:
        found |= dict.fromkeys(_foreign_in(app, module))
    for module_name, function_name in found:
        if is_inside(module_name, entries):
            yield (
                f"task '{module_name}.{function_name}' belongs to another Celery app; write @shared_task (from celery import"
                " shared_task) instead of @app.task"
            )


def _import_below(app: Celery, name: str) -> Iterator[ModuleType]:
    module = _import(app, name)
    yield module
    _check_directories(module)
    for info in pkgutil.iter_modules(getattr(module, "__path__", ()), f"{name}."):
        if not info.name.endswith(".__main__"):
            yield from _import_below(app, info.name)


def _check_directories(package: ModuleType) -> None:
    """Raise TaskDefinitionError for tasks in a directory that Python's package search passes over in silence."""
    roots = [Path(path) for path in getattr(package, "__path__", ())]
    for directory in (found for root in roots if root.is_dir() for found in root.iterdir()):
        if not directory.name.isidentifier() or not directory.is_dir() or (directory / "__init__.py").exists():
            continue
        for file in directory.glob("*.py"):
            if "@shared_task" in file.read_text(encoding="utf-8", errors="replace"):
                raise TaskDefinitionError(
                    f"'{package.__name__}.{directory.name}.{file.stem}' would not be loaded, for '{directory.name}' is no"
                    f" package; put an empty __init__.py into {directory}"
                )


def _import(app: Celery, name: str) -> ModuleType:
    # A module may make an app of its own, which then is the current one: delay() would go there.
    app.set_current()
    app.set_default()
    try:
        return importlib.import_module(name)
    except TaskServiceError:
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise TaskDefinitionError(
                f"TASK_MODULES: there is no module '{name}' ({error}); correct the name, or put its directory on PYTHONPATH"
            ) from error
        raise TaskDefinitionError(f"cannot import '{name}': {_where(error, name)}; install what is missing") from error
    except (Exception, SystemExit) as error:
        # A module is a program of its own and may raise anything; the start stops and says where.
        raise TaskDefinitionError(f"cannot import '{name}': {_where(error, name)}; correct the module") from error
    finally:
        app.set_current()
        app.set_default()


def _where(error: BaseException, module_name: str) -> str:
    what = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError):
        return what
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        if frame.f_globals.get("__name__") == module_name:
            return f"{what} ({frame.f_code.co_filename}, line {line})"
    return what


def _pending_elsewhere(app: Celery) -> Iterator[tuple[str, str]]:
    """Yield module and name of the functions that wait in other apps, made by @app.task and not yet by finalize()."""
    for other in list(celery_state._get_active_apps()):  # Celery has no public way to see them
        if other is not app:
            yield from filter(None, [_given_elsewhere(app, promise) for promise in other._pending])


def _foreign_in(app: Celery, module: ModuleType) -> Iterator[tuple[str, str]]:
    for value in list(vars(module).values()):
        kind = type(value)  # not isinstance: a proxy claims to be what it stands for, and looking makes it
        if kind is PromiseProxy:  # what @app.task gives; @shared_task gives a plain Proxy
            yield from filter(None, [_given_elsewhere(app, value)])
        elif issubclass(kind, Task) and value.app is not app:
            yield kind.__module__, kind.__name__


def _given_elsewhere(app: Celery, promise: Any) -> tuple[str, str] | None:
    """Return module and name of the function behind what @app.task gave, None if the app is ours."""
    if promise.__evaluated__():
        task = promise._get_current_object()
        return None if task.app is app else (type(task).__module__, type(task).__name__)
    owner = getattr(object.__getattribute__(promise, "_Proxy__local"), "__self__", None)
    if owner is app or not isinstance(owner, Celery):
        return None
    (function,) = object.__getattribute__(promise, "_Proxy__args")
    return function.__module__, function.__name__
