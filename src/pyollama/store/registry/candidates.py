"""Where a model may be found: mirrors of its registry, the registry itself, its repository."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pyollama.store.name import Name
from pyollama.store.registry.address import Network, registries_for
from pyollama.store.registry.auth import Sign
from pyollama.store.registry.huggingface import Hub
from pyollama.store.registry.remote import RegistryModel, Remote
from pyollama.store.registry.session import Session
from pyollama.store.store import Store


@dataclass(frozen=True, slots=True)
class Places:
    """Opens the places where models are, over ``network`` and with the key behind ``sign``.

    ``store`` makes models of the files of a repository on ``hub``.
    """

    network: Network
    sign: Sign
    hub: Hub
    store: Store

    def __call__(self, name: Name, insecure: bool) -> Iterator[Remote]:
        """The places to ask for ``name``, each opened when it is its turn; close their sessions."""
        *mirrors, registry = registries_for(name, self.network, insecure=insecure)
        for mirror in mirrors:
            yield RegistryModel(Session(mirror, self.network, self.sign), name)
        if not self.hub.has(name):
            yield RegistryModel(Session(registry, self.network, self.sign), name)
            return
        yield self.hub.open_registry(self.network, self.sign, name)
        yield self.hub.open(self.network, self.sign, name, self.store)

    def session(self, name: Name, insecure: bool) -> Session:
        """A session with the registry of ``name`` itself, which is where models are pushed to."""
        registry = registries_for(name, self.network, insecure=insecure)[-1]
        return Session(registry, self.network, self.sign)
