"""Fingerprints: which weights and which data a reading comes from."""

import hashlib
from collections.abc import Mapping

from torch import Tensor

from netcaliper.feed.raw_bytes import raw_bytes
from netcaliper.trace.batches import Batch


def model_fingerprint(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 over names, types, shapes and bytes of a state dict, in order of the names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        digest.update(raw_bytes(tensor.cpu()).numpy().data)
    return digest.hexdigest()


class DataFingerprint:
    """SHA-256 over the inputs, in order of the examples; how they were cut into batches does not matter."""

    def __init__(self) -> None:
        self._digests: dict[str, hashlib._Hash] = {}
        self._kinds: dict[str, str] = {}

    def update(self, batch: Batch) -> None:
        """Take in the inputs of one batch."""
        inputs = {str(number): value for number, value in enumerate(batch.args)} | dict(batch.kwargs)
        for name, value in inputs.items():
            digest = self._digests.setdefault(name, hashlib.sha256())
            kind = f"{value.dtype} {tuple(value.shape[1:])};" if isinstance(value, Tensor) else repr(value)
            if self._kinds.get(name) != kind:
                self._kinds[name] = kind
                digest.update(kind.encode())
            if isinstance(value, Tensor):
                digest.update(raw_bytes(value.cpu()).numpy().data)

    def finish(self) -> str:
        """Return the fingerprint of everything taken in."""
        whole = hashlib.sha256()
        for name in sorted(self._digests):
            whole.update(f"{name} {self._digests[name].hexdigest()};".encode())
        return whole.hexdigest()
