"""The registry: which tasks are served under which routes, and what stops the start with the way out."""

import re
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from celery import current_app

from core.celery_app import ServiceApp, make_app
from core.errors import NotFoundError, TaskDefinitionError
from core.registry import RESERVED_ROUTES, load_registry
from core.task_options import OPTIONS, OVERRIDDEN, Treatment
from tests.unit.core.conftest import Load, WriteModule, make_settings

HEAD = "from celery import Celery, Task, current_app, shared_task\n"


@pytest.fixture
def write(write_module: WriteModule) -> WriteModule:
    """Write a module that has Celery's names."""
    return lambda name, source: write_module(name, HEAD + source)


def _task(options: str = "", name: str = "work", head: str = "") -> str:
    return f"{head}\n@shared_task({options})\ndef {name}(x: int): ...\n"


def test_shipped_tasks_are_served_without_their_package_name(service_app: ServiceApp, write_module: WriteModule) -> None:
    registry = load_registry(service_app, make_settings())
    assert {"add", "multiply", "upper_case"} <= registry.by_route.keys()
    assert registry.find("add") is registry.find("tasks.add") is registry.specs["tasks.add"]
    assert registry.find("add").doc == "Add two integers."


def test_task_of_another_module_keeps_its_full_name(write: WriteModule, load: Load) -> None:
    write("shop.mail", _task(name="send"))
    assert list(load("shop").by_route) == ["shop.mail.send"]


def test_package_is_loaded_with_everything_below_it(write: WriteModule, load: Load) -> None:
    write("shop.__init__", "")
    write("shop.mail", _task("name='a'"))
    write("shop.deep.__init__", _task("name='b'"))
    write("shop.deep.deeper.__init__", _task("name='c'"))
    write("shop.templates.page", "raise SystemExit('not loaded, for it is no package')")
    write("shop.__main__", "raise SystemExit('a program, not a module')")
    assert list(load("shop").specs) == ["a", "b", "c"]


def test_task_in_a_directory_that_is_no_package_stops_the_start(write: WriteModule, load: Load) -> None:
    write("shop.__init__", "")
    write("shop.deep.jobs", _task())
    assert re.search(r"'shop\.deep\.jobs' would not be loaded.*__init__\.py", _refusal(load, "shop"))


def test_several_modules_are_served_and_no_others(write: WriteModule, load: Load) -> None:
    write("library", _task("name='lib.run'", name="run"))
    write("one", "from library import run\n" + _task("name='one.work'"))
    write("two", _task("name='two.work'"))
    write("two_more", _task("name='more.work'"))
    registry = load("one", "two")
    assert list(registry.specs) == ["one.work", "two.work"]
    assert registry.unserved == ("lib.run",)


def test_app_is_current_afterwards_whatever_apps_the_modules_make(
    write: WriteModule, load: Load, service_app: ServiceApp
) -> None:
    write("shop", "legacy = Celery('legacy', broker='memory://')\n" + _task())
    load("shop")
    assert current_app._get_current_object() is service_app
    assert sys.modules["shop"].work.app is service_app


def test_two_apps_in_one_process_serve_the_same_tasks(write: WriteModule) -> None:
    write("shop", _task("queue='mail', autoretry_for=(OSError,)"))
    settings = make_settings(task_modules="shop")
    first, second = (load_registry(make_app(settings), settings) for _ in range(2))
    assert first.specs.keys() == second.specs.keys()


def test_own_apps_decorator_is_as_good_as_shared_task(write: WriteModule, load: Load) -> None:
    write("shop", "@current_app.task(name='a')\ndef work(x: int): ...\n")
    assert list(load("shop").specs) == ["a"]


def test_queues_are_those_that_tasks_name(write: WriteModule, load: Load) -> None:
    write("shop", _task("queue='mail.fast'", "a") + _task(name="b") + _task("queue='mail.fast'", "c"))
    registry = load("shop")
    assert registry.queues == ("default", "mail.fast")
    assert registry.find("shop.a").queue == "mail.fast"


def test_priority_of_a_task_is_that_of_its_jobs(write: WriteModule, load: Load) -> None:
    write("shop", _task("priority=7", "a") + _task(name="b"))
    registry = load("shop")
    assert (registry.find("shop.a").priority, registry.find("shop.b").priority) == (7, 0)


def test_doc_is_the_functions_own(write: WriteModule, load: Load) -> None:
    write("shop", _task(name="a") + '@shared_task(bind=True)\ndef b(self):\n    """One.\n\n    Two.\n    """\n')
    registry = load("shop")
    assert (registry.find("shop.a").doc, registry.find("shop.b").doc) == ("", "One.\n\nTwo.")


def test_nothing_is_said_while_loading(write: WriteModule, load: Load) -> None:
    write("shop", _task("queue='mail', priority=3"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load("shop")
    assert caught == []


ATTEMPTS = [
    ("", 6),
    ("max_retries=0", 1),
    ("max_retries=None", None),
    ("max_retries=9", 10),
    ("autoretry_for=(OSError,)", 6),
    ("autoretry_for=(OSError,), retry_kwargs={'max_retries': 2}", 3),
    ("autoretry_for=(OSError,), retry_kwargs={'max_retries': None}", 6),
    ("retry_kwargs={'max_retries': 2}", 6),
]


@pytest.mark.parametrize(("options", "attempts"), ATTEMPTS)
def test_attempts_are_the_retries_and_the_first(options: str, attempts: int | None, write: WriteModule, load: Load) -> None:
    write("shop", _task(options))
    assert load("shop").find("shop.work").max_attempts == attempts


def test_attempts_follow_the_setting_where_the_task_is_silent(write: WriteModule) -> None:
    write("shop", _task())
    settings = make_settings(task_modules="shop", max_retries=1)
    assert load_registry(make_app(settings), settings).find("shop.work").max_attempts == 2


@pytest.fixture
def other_tasks_package(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the test write a package `tasks` of its own in place of the shipped one."""
    for name in [name for name in sys.modules if name == "tasks" or name.startswith("tasks.")]:
        monkeypatch.delitem(sys.modules, name)
    yield
    for name in [name for name in sys.modules if name == "tasks" or name.startswith("tasks.")]:
        del sys.modules[name]


BASE = "class Base(Task):\n    autoretry_for = (OSError,)\n"


@pytest.mark.usefixtures("other_tasks_package")
@pytest.mark.parametrize(
    ("module", "source", "retried"),
    [
        ("tasks.jobs", _task(), (Exception,)),
        ("tasks.jobs", _task("autoretry_for=(OSError,)"), (OSError,)),
        ("tasks.jobs", _task("autoretry_for=()"), ()),
        ("tasks.jobs", _task("base=Base", head=BASE), (OSError,)),
        ("tasks.jobs", _task("base=Base", head="class Base(Task): pass"), (Exception,)),
        ("tasks_too", _task(), ()),
        ("shop", _task("autoretry_for=(OSError,)"), (OSError,)),
    ],
)
def test_every_exception_is_retried_in_the_package_tasks_unless_the_task_names_some(
    module: str, source: str, retried: tuple[Any, ...], write: WriteModule, load: Load
) -> None:
    write("tasks.__init__", "")
    write(module, source)
    load(module.partition(".")[0])
    task = current_app.tasks[f"{module}.work"]
    assert tuple(getattr(task, "autoretry_for", ())) == retried
    assert hasattr(task, "_orig_run") == bool(retried)


def _refusal(load: Load, *modules: str) -> str:
    with pytest.raises(TaskDefinitionError) as caught:
        load(*modules)
    return str(caught.value)


@pytest.mark.parametrize("name", sorted(RESERVED_ROUTES))
def test_reserved_route_stops_the_start(name: str, write: WriteModule, load: Load) -> None:
    write("shop", _task(f"name='tasks.{name}'"))
    assert re.search(rf"'tasks.{name}' would be /{name}.*name=\"my_", _refusal(load, "shop"))


@pytest.mark.parametrize("name", ["a b", "ä", "a/b", "..", "tasks.", "tasks..", "a?b", "a%20b", "x" * 201])
def test_name_that_is_no_path_segment_stops_the_start(name: str, write: WriteModule, load: Load) -> None:
    write("shop", _task(f"name={name!r}"))
    assert "use letters, digits" in _refusal(load, "shop")


@pytest.mark.parametrize("name", ["a-b_c.d", "...", "X", "tasks.a", "_", "x" * 200])
def test_name_of_letters_digits_and_marks_is_a_route(name: str, write: WriteModule, load: Load) -> None:
    write("shop", _task(f"name={name!r}"))
    assert list(load("shop").by_route) == [name.removeprefix("tasks.")]


@pytest.mark.parametrize(("one", "other"), [("tasks.a", "a"), ("tasks.a", "tasks.tasks.a")])
def test_two_tasks_on_one_route_stop_the_start(one: str, other: str, write: WriteModule, load: Load) -> None:
    write("shop", _task(f"name={one!r}", "f") + _task(f"name={other!r}", "g"))
    message = _refusal(load, "shop")
    assert f"'{one}'" in message
    assert f"'{other}'" in message
    assert "@shared_task(name=" in message


def test_two_functions_of_one_name_stop_the_start(write: WriteModule, load: Load) -> None:
    write("one", _task("name='same'", "f"))
    write("two", _task("name='same'", "g"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        message = _refusal(load, "one", "two")
    assert all(part in message for part in ("'same'", "one.f", "two.g", "name="))


FOREIGN = "app = Celery('other', broker='memory://')\n"


@pytest.mark.parametrize(
    "source",
    [
        FOREIGN + "@app.task\ndef work(x: int): ...\n",
        FOREIGN + "@app.task(shared=False)\ndef work(x: int): ...\n",
        FOREIGN + "@app.task(lazy=False)\ndef work(x: int): ...\n",
        FOREIGN + "app.finalize()\n@app.task\ndef work(x: int): ...\n",
        FOREIGN + "@app.task\ndef work(x: int): ...\napp.finalize()\n",
        FOREIGN + "class Holder:\n    @app.task\n    def work(x: int): ...\n",
    ],
)
def test_task_of_another_app_stops_the_start(source: str, write: WriteModule, load: Load) -> None:
    write("shop", source + _task(name="fine"))
    message = _refusal(load, "shop")
    assert re.search(r"'shop\.work'.*@shared_task.*instead of @app\.task", message)
    assert "fine" not in message


def test_task_that_another_app_defines_elsewhere_may_be_called(write: WriteModule, load: Load) -> None:
    write("legacy", FOREIGN + "@app.task\ndef send(x: int): ...\n")
    write("shop", "from legacy import send\n" + _task())
    assert list(load("shop").specs) == ["shop.work"]


def test_class_based_task_stops_the_start(write: WriteModule, load: Load) -> None:
    write(
        "shop", "class Add(Task):\n    name = 'shop.add'\n    def run(self, x: int): ...\ncurrent_app.register_task(Add())\n"
    )
    assert re.search(r"'shop\.add' is a class.*@shared_task\(bind=True, base=Add\)", _refusal(load, "shop"))


REFUSED_VALUES = {
    "rate_limit": "'10/m'",
    "expires": "60",
    "countdown": "5",
    "eta": "1",
    "serializer": "'pickle'",
    "compression": "'gzip'",
    "exchange": "'mail'",
    "exchange_type": "'topic'",
    "routing_key": "'mail.#'",
    "delivery_mode": "1",
    "backend": "object()",
    "reject_on_worker_lost": "True",
    "retry_on_worker_lost": "True",
    "pydantic": "True",
    "Request": "'x:Y'",
    "Strategy": "'x:Y'",
}
UNUSABLE_VALUES = {
    "queue": ["'a b'", "'x' * 101", "''", "5"],
    "priority": ["10", "-1", "'high'", "True"],
    "max_retries": ["-1", "2.5", "'3'", "True"],
    "default_retry_delay": ["-1", "'3'"],
    "autoretry_for": ["('OSError',)", "(OSError(),)"],
    "dont_autoretry_for": ["(1,)"],
    "retry_kwargs": ["{'queue': 'a'}", "{'max_retries': -1}", "[]"],
    "retry_backoff": ["'1'", "-1"],
    "retry_backoff_max": ["-600"],
    "time_limit": ["-1"],
    "soft_time_limit": ["-1"],
    "throws": ["('OSError',)"],
}
HARMLESS = [
    "rate_limit=None",
    "serializer='json'",
    "delivery_mode=2",
    "reject_on_worker_lost=False",
    "pydantic=False",
    "expires=None",
    "queue=None",
    "default_retry_delay=2.5",
    "retry_backoff=True, retry_backoff_max=60, retry_jitter=False",
    "throws=(OSError,), dont_autoretry_for=[KeyError]",
    "soft_time_limit=1, time_limit=2",
    "bind=False, typing=False",
    "connection_url='of a base class'",
]


def test_every_refused_option_is_tried_here() -> None:
    assert REFUSED_VALUES.keys() == {option.name for option in OPTIONS if option.treatment is Treatment.REFUSED}


@pytest.mark.parametrize(("option", "value"), REFUSED_VALUES.items())
def test_refused_option_stops_the_start(option: str, value: str, write: WriteModule, load: Load) -> None:
    write("shop", _task(f"{option}={value}"))
    assert re.search(
        rf"'shop\.work': option {option}=.* is not supported: .*(leave it out|write queue=)", _refusal(load, "shop")
    )


def test_option_of_a_base_class_is_refused_too(write: WriteModule, load: Load) -> None:
    write("shop", _task("base=Base", head="class Base(Task):\n    rate_limit = '1/s'\n"))
    assert "'shop.work': option rate_limit='1/s'" in _refusal(load, "shop")


@pytest.mark.parametrize(
    ("option", "value"), [(option, value) for option, values in UNUSABLE_VALUES.items() for value in values]
)
def test_unusable_value_stops_the_start(option: str, value: str, write: WriteModule, load: Load) -> None:
    write("shop", _task(f"{option}={value}"))
    assert re.search(rf"'shop\.work'.*(option {option}=.* is unusable; write|cannot be made)", _refusal(load, "shop"))


@pytest.mark.parametrize("options", HARMLESS)
def test_option_that_changes_nothing_or_is_honoured_is_taken(options: str, write: WriteModule, load: Load) -> None:
    write("shop", _task(options))
    assert list(load("shop").specs) == ["shop.work"]


@pytest.mark.parametrize("option", OVERRIDDEN)
def test_overridden_option_has_the_services_value(
    option: str, write: WriteModule, load: Load, service_app: ServiceApp
) -> None:
    opposite = "object()" if option == "resultrepr_maxsize" else str(not OVERRIDDEN[option])
    write("shop", _task(f"{option}={opposite}", "a") + _task("base=B", "b", f"class B(Task):\n    {option} = {opposite}"))
    load("shop")
    assert [getattr(service_app.tasks[name], option) for name in ("shop.a", "shop.b")] == [OVERRIDDEN[option]] * 2


@pytest.mark.parametrize(("written", "meant"), [("max_retry", "max_retries"), ("autoretry_fo", "autoretry_for")])
def test_misspelt_option_stops_the_start(written: str, meant: str, write: WriteModule, load: Load) -> None:
    write("shop", _task(f"{written}=()"))
    assert f"no option {written}; did you mean {meant}?" in _refusal(load, "shop")


def test_attribute_of_a_base_class_is_no_misspelt_option(write: WriteModule, load: Load) -> None:
    write("shop", _task("base=Base, max_retry=7", head="class Base(Task):\n    max_retry = 3\n"))
    assert list(load("shop").specs) == ["shop.work"]


def test_option_that_celery_cannot_use_stops_the_start_with_the_tasks_name(write: WriteModule, load: Load) -> None:
    write("shop", _task("autoretry_for=5"))
    assert re.search(r"'shop\.work' cannot be made \(TypeError.*correct its options", _refusal(load, "shop"))


def test_all_problems_are_told_at_once(write: WriteModule, load: Load) -> None:
    write("shop", _task("rate_limit='1/s', expires=5", "a") + _task("queue='?'", "b"))
    assert len(_refusal(load, "shop").splitlines()) == 3


def test_unsupported_signature_stops_the_start(write: WriteModule, load: Load) -> None:
    write("shop", "@shared_task\ndef work(*numbers: int): ...\n")
    assert re.search(r"'shop\.work': parameter 'numbers'.*list\[int\]", _refusal(load, "shop"))


@pytest.mark.parametrize(
    ("source", "reason", "way_out"),
    [
        ("1 / 0", r"ZeroDivisionError: division by zero \(.*shop\.py, line 2\)", "correct the module"),
        ("def (", "SyntaxError: .*line 2", "correct the module"),
        ("import nowhere", "ModuleNotFoundError: No module named 'nowhere'", "install what is missing"),
        ("from json import nothing", "ImportError: cannot import name 'nothing'", "correct the module"),
        ("raise SystemExit(3)", "SystemExit: 3", "correct the module"),
    ],
)
def test_module_that_cannot_be_imported_stops_the_start(
    source: str, reason: str, way_out: str, write: WriteModule, load: Load
) -> None:
    write("shop", source)
    assert re.search(rf"cannot import 'shop': {reason}.*{way_out}", _refusal(load, "shop"))


def test_broken_submodule_is_named(write: WriteModule, load: Load) -> None:
    write("shop.deep.__init__", "")
    write("shop.deep.broken", "1 / 0")
    assert "cannot import 'shop.deep.broken'" in _refusal(load, "shop")


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("nowhere_at_all", "no module 'nowhere_at_all'.*PYTHONPATH"),
        ("shop.nothing", "no module 'shop.nothing'.*PYTHONPATH"),
        ("shop/mail.py", "'shop/mail.py' is no import path"),
        (".shop", "'.shop' is no import path"),
        ("shop", "no task found in shop; .*@shared_task"),
        ("", "TASK_MODULES names no module"),
    ],
)
def test_task_modules_without_tasks_stop_the_start(entry: str, reason: str, write: WriteModule, load: Load) -> None:
    write("shop", "")
    assert re.search(reason, _refusal(load, entry))


@pytest.mark.usefixtures("write_module")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("uper_case", "unknown task 'uper_case'; did you mean 'upper_case'? GET /tasks lists all"),
        ("zzzzzz", "unknown task 'zzzzzz'. GET /tasks lists all"),
        ("x" * 100_000, f"unknown task '{'x' * 40}…'. GET /tasks lists all"),
    ],
)
def test_unknown_task_is_not_found_with_a_similar_name(name: str, message: str, service_app: ServiceApp) -> None:
    registry = load_registry(service_app, make_settings())
    with pytest.raises(NotFoundError) as caught:
        registry.find(name)
    assert str(caught.value) == message
