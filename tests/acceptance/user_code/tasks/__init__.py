"""More modules in the package `tasks`, as a user adds them: found beside those of the repository."""

from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)
