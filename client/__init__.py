"""A client for the HTTP interface; imports nothing else of this repository. What it offers is described in client.py."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client import ApiError as ApiError
    from .client import Client as Client
    from .client import ClientError as ClientError
    from .client import Conflict as Conflict
    from .client import Failure as Failure
    from .client import InvalidRequest as InvalidRequest
    from .client import Job as Job
    from .client import JobError as JobError
    from .client import JobFailed as JobFailed
    from .client import JobRevoked as JobRevoked
    from .client import NotFound as NotFound
    from .client import Status as Status
    from .client import Task as Task
    from .client import Unavailable as Unavailable
    from .client import WaitTimeout as WaitTimeout


def __getattr__(name: str) -> Any:
    """Load client.py with the first name that is taken from it, so that `python -m client` can say that requests is missing.

    A name that it does not have is an AttributeError (PEP 562).
    """
    module = import_module(f"{__name__}.client")
    if name.startswith("_") or not hasattr(module, name):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(module, name)
