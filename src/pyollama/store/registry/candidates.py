"""Where a model may be found: mirrors of its registry, then the registry itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pyollama.store.name import Name
from pyollama.store.registry.address import Network, registries_for
from pyollama.store.registry.auth import Sign
from pyollama.store.registry.remote import RegistryModel, Remote
from pyollama.store.registry.session import Session


@dataclass(frozen=True, slots=True)
class Places:
    """Opens the places where models are, over ``network`` and with the key behind ``sign``."""

    network: Network
    sign: Sign

    def __call__(self, name: Name, insecure: bool) -> Iterator[Remote]:
        """The places to ask for ``name``, each opened when it is its turn; close their sessions."""
        for registry in registries_for(name, self.network, insecure=insecure):
            yield RegistryModel(Session(registry, self.network, self.sign), name)

    def session(self, name: Name, insecure: bool) -> Session:
        """A session with the registry of ``name`` itself, which is where models are pushed to."""
        registry = registries_for(name, self.network, insecure=insecure)[-1]
        return Session(registry, self.network, self.sign)
