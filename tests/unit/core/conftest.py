"""Task modules written for one test, and a Celery that forgets them afterwards: shared tasks are global to a process."""

import importlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import _state as celery_state

from core.celery_app import ServiceApp, make_app
from core.registry import Registry, load_registry
from core.settings import Settings

WriteModule = Callable[[str, str], None]
Load = Callable[..., Registry]


def make_settings(**values: Any) -> Settings:
    """Return settings that name no engine which exists."""
    return Settings(database_url="postgresql://nowhere", broker_url="redis://nowhere", **values)


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WriteModule]:
    """Write the source of an importable module, dots making packages; module and shared tasks are gone after the test."""
    monkeypatch.syspath_prepend(tmp_path)
    known_modules = set(sys.modules)
    written = {"tasks"}  # the shipped ones may be loaded too, and Celery will forget them
    known_tasks = set(celery_state._on_app_finalizers)
    known_apps = set(celery_state._get_active_apps())
    monkeypatch.setattr(celery_state, "default_app", celery_state.default_app)
    monkeypatch.setattr(celery_state._tls, "current_app", celery_state._tls.current_app)

    def write(name: str, source: str) -> None:
        written.add(name.partition(".")[0])
        path = tmp_path.joinpath(*name.split("."))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".py").write_text(textwrap.dedent(source), encoding="utf-8")
        importlib.invalidate_caches()  # which notice a new file only when the clock has ticked

    yield write
    celery_state._on_app_finalizers.intersection_update(known_tasks)
    for app in set(celery_state._get_active_apps()) - known_apps:
        app.close()
    for name in set(sys.modules) - known_modules:
        if name.partition(".")[0] in written:
            del sys.modules[name]


@pytest.fixture
def service_app(write_module: WriteModule) -> ServiceApp:
    """An app as every part makes it."""
    return make_app(make_settings())


@pytest.fixture
def load(service_app: ServiceApp) -> Load:
    """Load the registry of the modules named, with other settings if given."""

    def load_modules(*modules: str, **values: Any) -> Registry:
        return load_registry(service_app, make_settings(task_modules=",".join(modules), **values))

    return load_modules
