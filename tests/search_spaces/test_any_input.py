"""Whatever stands in a file or an override, it ends in a space that can be planned, or in a
`SpaceError`.
"""

import copy

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.planning.plan import make_plan
from search_spaces.errors import SpaceError
from search_spaces.load import load_space

GOOD = {
    "name": "fuzz",
    "description": "text",
    "settings": {
        "seeds": 2,
        "evaluation": {"num_eval": 1},
        "distillation": {"queue": {"interval": 3}},
    },
    "rules": [
        {"when": {"method": "IDM", "ipc": [1, ">=10"]}, "set": {"lr_img": 0.1}, "source": "x"}
    ],
    "experiments": [
        {
            "name": "one",
            "datasets": ["digits", {"name": "own", "format": "parquet", "path": "p"}],
            "methods": ["DM", "IDM+IID", "Herding", "Whole"],
            "ipc": [1, 10],
            "architectures": ["ConvNet", "same"],
            "protocol": "strict",
            "sweep": {"lambda_cc": [0, 0.1]},
            "extractors": {"count": 2},
        }
    ],
}
CHECKS = settings(deadline=None, suppress_health_check=list(HealthCheck))
CASES = pytest.mark.parametrize(
    "cases", [150, pytest.param(4000, marks=[pytest.mark.nightly, pytest.mark.slow])]
)

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, 1, 2, 10**9, 10**30, -1]),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        [
            "DM",
            "digits",
            "ConvNet",
            "same",
            "paper",
            "lambda_cc",
            "ipc",
            ">=3",
            "quickstart",
            "ConvNetW0",
        ]
    ),
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


def paths(value, path=()):
    yield path
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for step, item in items:
        yield from paths(item, (*path, step))


PATHS = [path for path in paths(GOOD) if path]
KEYS = sorted(
    {str(step) for path in PATHS for step in path}
    | {"ratio", "include", "folder", "pool", "iterations"}
)


@st.composite
def mutated(draw):
    space = copy.deepcopy(GOOD)
    for _ in range(draw(st.integers(1, 3))):
        *above, last = draw(st.sampled_from(PATHS))
        place = space
        try:
            for step in above:
                place = place[step]
            action = draw(st.sampled_from(["replace", "delete", "add"]))
            if action == "replace":
                place[last] = draw(values)
            elif action == "delete":
                del place[last]
            elif isinstance(place, dict):
                place[draw(st.sampled_from(KEYS))] = draw(values)
        except (KeyError, IndexError, TypeError):
            continue
    return space


def ends_well(path, overrides=()):
    try:
        plan = make_plan(load_space(path, overrides))
    except SpaceError as error:
        assert str(error)
        assert "\n" not in str(error)
    else:
        assert plan.cells


def test_the_starting_point_is_good(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text(yaml.safe_dump(GOOD))
    assert make_plan(load_space(path)).cells


@CASES
def test_mutated_spaces(tmp_path, cases):
    path = tmp_path / "space.yaml"

    @settings(CHECKS, max_examples=cases)
    @given(space=mutated())
    def check(space):
        path.write_text(
            yaml.safe_dump(space, allow_unicode=True), encoding="utf-8", errors="surrogatepass"
        )
        ends_well(path)

    check()


@CASES
def test_mutated_bytes(tmp_path, cases):
    good = yaml.safe_dump(GOOD).encode()
    path = tmp_path / "space.yaml"

    @settings(CHECKS, max_examples=cases)
    @given(data=st.binary(max_size=60), at=st.integers(0, 400), length=st.integers(0, 20))
    def check(data, at, length):
        path.write_bytes(good[:at] + data + good[at + length :])
        ends_well(path)

    check()


overrides = st.tuples(
    st.sampled_from(
        ["ipc", "seeds", "datasets", "methods", "iterations", "lr_net", "settings.ratio", "count"]
    )
    | st.text(),
    st.text(max_size=30) | values.map(lambda value: yaml.safe_dump(value, default_flow_style=True)),
)


@CASES
def test_any_override(tmp_path, cases):
    path = tmp_path / "space.yaml"
    path.write_text(yaml.safe_dump(GOOD))

    @settings(CHECKS, max_examples=cases)
    @given(override=overrides)
    def check(override):
        ends_well(path, ["=".join(override)])

    check()
