from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from effnet.deploy.windows import averaging_window


@given(st.integers(1, 400), st.integers(1, 400))
def test_windows_cut_large_maps_evenly(height: int, width: int) -> None:
    window = averaging_window(height, width)
    if height * width <= 1024:
        assert window is None
    elif window is not None:
        assert height % window[0] == width % window[1] == 0
        assert window != (1, 1) and window[0] ** 2 <= height and window[1] ** 2 <= width


def test_the_largest_maps_of_published_networks_are_cut() -> None:
    assert averaging_window(112, 112) == (8, 8)  # B0
    assert averaging_window(190, 190) == (10, 10)  # B4
    assert averaging_window(300, 300) == (15, 15)  # B7
    assert averaging_window(1009, 1009) is None, "a prime has no window"
