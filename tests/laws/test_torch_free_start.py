"""What only looks, counts or scales must not pay for torch."""

import json
import subprocess
import sys

import pytest

HEAVY = ("torch", "numpy", "PIL", "safetensors", "huggingface_hub", "matplotlib")

PROBE = """
import json, sys
{code}
print(json.dumps([name for name in {heavy!r} if name in sys.modules]), file=sys.stderr)
"""


def heavy_modules(code: str) -> list[str]:
    """Return which heavy packages a fresh interpreter has loaded after running `code`."""
    script = PROBE.format(code=code, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    loaded: list[str] = json.loads(done.stderr.strip().splitlines()[-1])
    return loaded


@pytest.mark.parametrize(
    "code",
    [
        "import effnet",
        "import effnet; effnet.compound(effnet.find('b0'), 2.5)",
        "import effnet; effnet.cost_of(effnet.find('b7'))",
        "import effnet.weights.published as p; p.default('b0')",
        "import effnet; effnet.compare('b0', 'swin_t').to_dict()",
        "import effnet; effnet.recommend('best', images=500)",
    ],
)
def test_the_core_loads_nothing_heavy(code: str) -> None:
    assert heavy_modules(code) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["models"],
        ["models", "--json"],
        ["scale", "--phi", "0..7"],
        ["summary", "b0"],
        ["weights", "list"],
        ["compare"],
        ["recommend", "--goal", "best", "--images", "500", "--classes", "5"],
        ["compare", "--figure", "v1-figure-1", "--json"],
        ["--help"],
    ],
)
def test_light_verbs_load_nothing_heavy(arguments: list[str]) -> None:
    code = f"""
from effnet.cli import main
try:
    main({arguments!r})
except SystemExit as stop:
    assert not stop.code, stop.code
"""
    assert heavy_modules(code) == []


def test_every_public_name_resolves() -> None:
    import effnet

    for name in effnet.__all__:
        assert getattr(effnet, name) is not None
    assert set(effnet.__all__) <= set(dir(effnet))
    with pytest.raises(AttributeError):
        effnet.nonsense  # noqa: B018
