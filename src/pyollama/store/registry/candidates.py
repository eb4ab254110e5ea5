"""Where a model may be found: mirrors of its registry, then the registry itself."""

from __future__ import annotations

from collections.abc import Iterator

from pyollama.store.name import Name
from pyollama.store.registry.address import Network, registries_for
from pyollama.store.registry.auth import Sign
from pyollama.store.registry.remote import RegistryModel, Remote
from pyollama.store.registry.session import Session


def open_candidates(name: Name, insecure: bool, network: Network, sign: Sign) -> Iterator[Remote]:
    """The places to ask for ``name``, each opened when it is its turn. Close their sessions."""
    for registry in registries_for(name, network, insecure=insecure):
        yield RegistryModel(Session(registry, network, sign), name)
