"""How a file is cut for its upload. The upload itself is driven in `tests/scenarios/wecom/test_upload.py`."""

from __future__ import annotations

from wx2mqtt.wechat.wecom.upload import PIECE_BYTES, piece_count


def test_a_file_is_cut_into_pieces_of_half_a_megabyte():
    assert [piece_count(size) for size in (1, PIECE_BYTES, PIECE_BYTES + 1)] == [1, 1, 2]
