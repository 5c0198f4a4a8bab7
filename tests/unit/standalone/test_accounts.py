import os
from pathlib import Path

import pytest

from standalone.accounts import choose_account, give_tree
from standalone.errors import StandaloneError
from standalone.leash import NAMESPACE, NOBODY, NOBODY_ID, OWN

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def test_root_becomes_nobody_where_that_works() -> None:
    assert choose_account(["/bin/true"]) == NOBODY


def test_root_enters_a_namespace_where_it_cannot_become_nobody() -> None:
    only_one_user = ["/bin/sh", "-c", f"grep -q '^ *{NOBODY_ID} ' /proc/self/uid_map"]
    assert choose_account(only_one_user) == NAMESPACE


def test_root_that_cannot_become_anybody_is_told_so() -> None:
    with pytest.raises(StandaloneError, match="PostgreSQL refuses to run as root"):
        choose_account(["/bin/false"])


def test_data_change_hands_with_the_account(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base/1").write_text("")
    for account, uid in ((NOBODY, NOBODY_ID), (NAMESPACE, 0), (OWN, 0)):
        give_tree(tmp_path, account)
        assert {path.stat().st_uid for path in (tmp_path, tmp_path / "base", tmp_path / "base/1")} == {uid}
