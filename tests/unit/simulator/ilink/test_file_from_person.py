"""Files that a person sends to the bot."""

from __future__ import annotations

import pytest

from wx2mqtt.simulator.ilink.aes import BadPadding, EncryptedBytes, decrypt
from wx2mqtt.simulator.ilink.file_from_person import key_of_another_file
from wx2mqtt.simulator.media import GivenBytes

KEY = bytes(range(16))


def test_no_file_seems_to_fit_the_key_of_another_one():
    """Of 256 ciphertexts one ends, by a key of its own choice, in what looks like padding."""
    for number in range(2000):
        cipher = EncryptedBytes(GivenBytes(number.to_bytes(20, "big")), KEY)
        with pytest.raises(BadPadding):
            decrypt(cipher, key_of_another_file(cipher))
