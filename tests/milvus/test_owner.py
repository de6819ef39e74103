"""Whose a collection is, in a database that projects share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from store_rows import DIMENSION, PHYSICAL, PRINT, make_rows, serve

from indexer.errors import ForeignCollectionError
from indexer.milvus.owner import OWN_DATABASE, OWNER, Claim
from indexer.milvus.store import Store

OURS = Claim("/p/ours")
THEIRS = Claim("/p/theirs")
OTHER_PRINT = "b2" * 32


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = serve(tmp_path)
    yield store
    store._guard.is_broken = False
    store.close()


def prepare(store: Store, claim: Claim, fingerprint: str = PRINT) -> None:
    store._guard.is_broken = False
    store._looked = None  # another run, with a store of its own
    store.prepare(fingerprint, DIMENSION, {}, claim)


def owner(store: Store) -> str:
    store._guard.is_broken = False
    return store.open().get(OWNER, "")


def test_a_collection_says_whose_it_is(store: Store) -> None:
    prepare(store, OURS)
    assert owner(store) == "/p/ours"
    prepare(store, OURS)
    store.upsert(make_rows(2))
    for fingerprint in (PRINT, OTHER_PRINT):
        with pytest.raises(ForeignCollectionError) as caught:
            prepare(store, THEIRS, fingerprint)
        line = str(caught.value)
        assert "'code'" in line and "belongs to the project /p/ours" in line
        assert "--collection" in line and "--take-over" in line
    with pytest.raises(ForeignCollectionError, match="belongs to"):
        store.drop(THEIRS)
    assert owner(store) == "/p/ours"
    assert store.count() == 2
    assert store._client.list_collections() == [PHYSICAL]


def test_a_collection_that_is_taken_over(store: Store) -> None:
    prepare(store, OURS)
    prepare(store, Claim("/p/theirs", takes_over=True))
    assert owner(store) == "/p/theirs"
    with pytest.raises(ForeignCollectionError, match="/p/theirs"):
        prepare(store, OURS)
    store._guard.is_broken = False
    assert store.drop(Claim("/p/ours", takes_over=True))


def test_an_index_of_another_model_stays_with_its_project(store: Store) -> None:
    prepare(store, OURS)
    prepare(store, OURS, OTHER_PRINT)
    store.finish()
    assert store.physical != PHYSICAL and owner(store) == "/p/ours"


def test_a_collection_that_does_not_say_is_adopted(store: Store) -> None:
    prepare(store, OWN_DATABASE)
    store.upsert(make_rows(2))
    assert owner(store) == ""
    prepare(store, OURS)
    assert owner(store) == "/p/ours" and store.count() == 2
    with pytest.raises(ForeignCollectionError, match="belongs to"):
        prepare(store, THEIRS)


def test_the_name_tells_where_the_collection_does_not(store: Store) -> None:
    prepare(store, OWN_DATABASE)
    suspect = Claim("/p/ours", is_foreign_name=True)
    with pytest.raises(ForeignCollectionError, match="another project's folder"):
        prepare(store, suspect)
    store._guard.is_broken = False
    with pytest.raises(ForeignCollectionError, match="another project's folder"):
        store.drop(suspect)
    prepare(store, Claim("/p/ours", takes_over=True, is_foreign_name=True))
    prepare(store, suspect)


def test_a_run_that_was_killed_before_the_alias(store: Store) -> None:
    """Its collection is found without an alias, also by another model."""
    prepare(store, OURS)
    store._client.drop_alias("code")
    with pytest.raises(ForeignCollectionError, match="/p/ours"):
        prepare(store, THEIRS, OTHER_PRINT)
    store._guard.is_broken = False
    with pytest.raises(ForeignCollectionError, match="/p/ours"):
        store.drop(THEIRS)
    prepare(store, OURS)
    assert owner(store) == "/p/ours"


def test_in_a_database_of_its_own_a_project_makes_no_claim(store: Store) -> None:
    prepare(store, OWN_DATABASE)
    assert OWNER not in store.open()
    assert store.drop()
