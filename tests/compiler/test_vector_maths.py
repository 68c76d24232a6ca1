"""exp, log, sin ... as instructions: at most 2 units in the last place off, at every argument, width and target."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest

from chainrule.compiler.targets.llvm import vector_angles, vector_maths
from chainrule.compiler.targets.llvm.machine import Machine, host
from chainrule.compiler.targets.llvm.native import compile_text
from chainrule.compiler.targets.llvm.text import F32, F64, I64, PTR, Function, Type, Value, module_text

UNITS = 2.0
LANES = (0, 4, 8, 16)
UNARY = {
    "exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "log2": np.log2, "log10": np.log10,
    "tanh": np.tanh, "sinh": np.sinh, "cosh": np.cosh, "erf": None, "sin": np.sin, "cos": np.cos, "tan": np.tan,
    "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan,
}  # fmt: skip
"""NumPy's functions; it has no erf."""
BINARY = {"pow": np.power, "atan2": np.arctan2}
TYPES = {np.dtype(np.float32): F32, np.dtype(np.float64): F64}
MPMATH: dict[str, Callable[..., Any]] = {
    **{name: getattr(mpmath, name) for name in UNARY if hasattr(mpmath, name)},
    "log2": lambda x: mpmath.log(x, 2), "pow": mpmath.power, "atan2": mpmath.atan2,
}  # fmt: skip

Run = Callable[..., Any]


def compiled(names: Sequence[str], dtype: Any, lanes: int, machine: Machine) -> dict[str, Run]:
    """Functions on arrays whose length is a multiple of the lanes."""
    functions = [loop_over(name, TYPES[np.dtype(dtype)], lanes) for name in names]
    native = compile_text(module_text(functions), machine)

    def runner(name: str) -> Run:
        inputs = 1 + (name in BINARY)
        call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (inputs + 1), ctypes.c_int64)(native.address(f"run_{name}"))

        def run(*xs: Any) -> Any:
            assert native  # which lives as long as this function
            y = np.empty_like(xs[0])
            call(*[x.ctypes.data for x in xs], y.ctypes.data, y.size)
            return y

        return run

    return {name: runner(name) for name in names}


def written(name: str) -> Callable[..., Value]:
    return getattr(vector_maths, name, None) or getattr(vector_angles, name)  # type: ignore[no-any-return]


def loop_over(name: str, type: Type, lanes: int) -> Function:
    inputs = ["x", "z"][: 1 + (name in BINARY)]
    f = Function(f"run_{name}", [*[(x, PTR) for x in inputs], ("y", PTR), ("n", I64)], linkage="")
    loop = f.loop(0, f["n"], max(lanes, 1))
    xs = [f.load(f.at(f[x], loop.index, type), type.of(lanes)) for x in inputs]
    f.store(written(name)(f, *xs), f.at(f["y"], loop.index, type))
    f.close(loop)
    f.ret()
    return f


@pytest.fixture(scope="module")
def of_floats() -> dict[str, Run]:
    return compiled([*UNARY, *BINARY], np.float32, 16, host())


@pytest.fixture(scope="module")
def of_doubles() -> dict[str, Run]:
    return compiled([*UNARY, *BINARY], np.float64, 8, host())


# ---- arguments -------------------------------------------------------------------------------------------------------

# Limits of the formats, and where the pieces of an approximation meet.
BORDERS = [
    0.0, 1e-45, 1e-40, 5e-324, 1e-310, 2.0**-126, 2.0**-1022, 2.0**-25, 2.0**-54, 2.0**-24, 0.34657359, 0.5, 0.55,
    0.70710678118654746, 1.0, 1.0397, 1.4142135623730951, 4.1, 6.1, 9.0, 10.0, 18.0, 20.0, 36.04, 40.0, 87.33655, 88.0,
    88.72283, 89.0, 89.4, 90.0, 103.97, 104.0, 708.39, 709.78271289, 710.0, 710.47, 745.13, 746.0, 2.0**17, 2.0**30,
    3.4028235e38, 1.7976931348623157e308, np.inf, np.nan,
]  # fmt: skip


def borders(dtype: Any) -> Any:
    """The borders of both signs, and the numbers beside them."""
    with np.errstate(over="ignore"):
        x = np.array(BORDERS).astype(dtype)
    x = np.concatenate([x, -x])
    x = np.concatenate([x, np.nextafter(x, dtype(np.inf)), np.nextafter(x, dtype(-np.inf))])
    return np.pad(x, (0, -len(x) % 16), "edge")


def sweep(dtype: Any, count: int) -> Any:
    """Random bits, which reach every exponent, and numbers around 1, 10 and 100, and near multiples of pi/2."""
    generator = np.random.default_rng(0)
    integer = {np.float32: np.uint32, np.float64: np.uint64}[dtype]
    bits = generator.integers(0, np.iinfo(integer).max, count, dtype=integer, endpoint=True).view(dtype)
    parts = [generator.uniform(-size, size, count).astype(dtype) for size in (1, 3, 12, 110, 800)]
    turns = (generator.integers(-400_000, 400_000, count) * (np.pi / 2)).astype(dtype)
    return np.concatenate([bits, *parts, turns, (1 + generator.uniform(-1, 1, count) ** 9).astype(dtype)])


def pairs(dtype: Any, count: int) -> tuple[Any, Any]:
    """For powers and angles: random bits, moderate numbers, near 1 to large powers, and whole exponents."""
    generator = np.random.default_rng(1)
    x, y = sweep(dtype, count), sweep(dtype, count)
    generator.shuffle(y)
    near_one = (1 + generator.uniform(-1, 1, count) * 2.0 ** generator.uniform(-22, 0, count)).astype(dtype)
    steep = (generator.uniform(-1, 1, count) * 2.0 ** generator.uniform(0, 25, count)).astype(dtype)
    whole = generator.integers(-20, 20, (2, count)).astype(dtype)
    angles = generator.uniform(0.3, 3, (2, count)).astype(dtype)
    return np.concatenate([x, near_one, whole[0], angles[0]]), np.concatenate([y, steep, whole[1], angles[1]])


def errors(got: Any, wanted: Any, rounded: Any) -> Any:
    """In units in the last place of the true value; infinite where only one is nan, infinite, or has another sign."""
    largest = np.finfo(got.dtype).max
    unit = np.spacing(np.minimum(np.abs(rounded), largest)).astype(wanted.dtype)
    with np.errstate(invalid="ignore", over="ignore"):
        off = np.abs(got.astype(wanted.dtype) - wanted) / unit
    off[np.isnan(off)] = np.inf
    off[(got == rounded) & ~np.isfinite(got) | np.isnan(got) & np.isnan(rounded)] = 0
    off[(np.signbit(got) != np.signbit(rounded)) & ~np.isnan(got)] = np.inf
    return off


def assert_close(name: str, got: Any, wanted: Any, *xs: Any) -> None:
    with np.errstate(over="ignore"):
        rounded = wanted.astype(got.dtype)
    off = errors(got, wanted, rounded)
    i = int(np.argmax(off))
    at = ", ".join([repr(x[i]) for x in xs])
    assert off[i] <= UNITS, f"{name}({at}) is {got[i]!r}, {off[i]:.3g} units from {rounded[i]!r}"


# ---- accuracy --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in UNARY if name != "erf"])
def test_a_function_of_floats_is_within_two_units_of_the_double(name: str, of_floats: dict[str, Run]) -> None:
    for x in (borders(np.float32), sweep(np.float32, 32_000)):
        with np.errstate(all="ignore"):
            assert_close(name, of_floats[name](x), UNARY[name](x.astype(np.float64)), x)


@pytest.mark.parametrize("name", BINARY)
def test_a_function_of_two_floats_is_within_two_units_of_the_double(name: str, of_floats: dict[str, Run]) -> None:
    x, y = pairs(np.float32, 16_000)
    with np.errstate(all="ignore"):
        assert_close(name, of_floats[name](x, y), BINARY[name](x.astype(np.float64), y.astype(np.float64)), x, y)


def assert_close_to_exact(name: str, got: Any, *xs: Any) -> None:
    for result, *row in zip(got, *xs, strict=True):
        with mpmath.workdps(40):
            wanted = MPMATH[name](*[mpmath.mpf(float(x)) for x in row])
            rounded = got.dtype.type(float(wanted))
            if not np.isfinite(rounded):
                assert result == rounded, f"{name}({row}) is {result}, not {rounded}"
                continue
            off = abs(mpmath.mpf(float(result)) - wanted) / mpmath.mpf(float(np.spacing(abs(rounded))))
            assert off <= UNITS, f"{name}({row}) is {result!r}, {float(off):.3g} units from {rounded!r}"


DOMAINS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("asin", "acos"), lambda x: np.abs(x) <= 1),
    **dict.fromkeys(("log", "log2", "log10"), lambda x: x > 0),
    "log1p": lambda x: x > -1,
}


def in_domain(name: str, x: Any) -> Any:
    x = x[np.isfinite(x) & (x != 0)]
    x = x[DOMAINS[name](x)] if name in DOMAINS else x
    return np.pad(x, (0, -len(x) % 16), "edge")


@pytest.mark.parametrize("name", UNARY)
def test_a_function_of_doubles_is_within_two_units_of_the_exact_value(name: str, of_doubles: dict[str, Run]) -> None:
    x = in_domain(name, np.concatenate([borders(np.float64), sweep(np.float64, 100)]))
    if name in ("exp", "expm1", "sinh", "cosh"):
        x = x[np.abs(x) < 800]
        x = np.pad(x, (0, -len(x) % 16), "edge")
    assert_close_to_exact(name, of_doubles[name](x), x)


def test_erf_of_floats_is_within_two_units_of_the_exact_value(of_floats: dict[str, Run]) -> None:
    x = in_domain("erf", np.concatenate([borders(np.float32), sweep(np.float32, 200)]))
    assert_close_to_exact("erf", of_floats["erf"](x), x)


@pytest.mark.parametrize("name", BINARY)
def test_a_function_of_two_doubles_is_within_two_units_of_the_exact_value(
    name: str, of_doubles: dict[str, Run]
) -> None:
    x, y = pairs(np.float64, 256)
    usual = np.isfinite(x) & np.isfinite(y) & (x != 0) & (y != 0)
    if name == "pow":
        with np.errstate(all="ignore"):
            usual &= (x > 0) & (np.abs(y * np.log(np.abs(x))) < 800)
    x, y = (np.pad(v[usual], (0, -int(usual.sum()) % 16), "edge") for v in (x, y))
    assert_close_to_exact(name, of_doubles[name](x, y), x, y)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_angles_are_reduced_with_all_the_digits_of_pi_that_it_takes(name: str, dtype: Any) -> None:
    run = compiled([name], dtype, 8, host())[name]
    generator = np.random.default_rng(2)
    # the double closest to a multiple of pi/2 (Muller 2016, table 11.1), and others on both sides of the slow path
    x = [6381956970095103 * 2.0**797, 355.0, 1e22, 2.0**17, 2.0**30, np.nextafter(2.0**30, 0), 16367173 * 2.0**72]
    x += [*2.0 ** generator.uniform(0, 127, 500), *2.0 ** generator.uniform(0, 1023, 500)]
    with np.errstate(over="ignore"):
        x = in_domain(name, np.array(x).astype(dtype))
    with mpmath.workdps(400):
        reduced = [mpmath.mpf(float(v)) % (2 * mpmath.pi) for v in x]
    for got, r in zip(run(x), reduced, strict=True):
        with mpmath.workdps(60):
            wanted = MPMATH[name](r)
            off = abs(mpmath.mpf(float(got)) - wanted) / mpmath.mpf(float(np.spacing(abs(dtype(float(wanted))))))
        assert off <= UNITS, f"{name}: {got!r} is {float(off):.3g} units from {float(wanted)!r}"


# ---- special values --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", [*UNARY, *BINARY])
def test_limits_zeros_and_nan_are_those_of_c(name: str, dtype: Any) -> None:
    few = [0.0, 1.0, 2.0, 3.0, 0.5, 2.5, np.inf, np.nan, 1e-320, 2.0**24 + 2, 2.0**53 + 2, 1e30]
    x = np.array([*few, *[-v for v in few]]).astype(dtype)
    run = compiled([name], dtype, 0, host())[name]
    with np.errstate(all="ignore"):
        if name in BINARY:
            x, y = (np.ravel(v) for v in np.meshgrid(x, x))
            assert_close(name, run(x, y), BINARY[name](x.astype(np.float64), y.astype(np.float64)), x, y)
        elif name == "erf":
            wanted = np.array([mpmath.erf(float(v)) for v in x], np.float64)
            assert_close(name, run(x), np.copysign(wanted, x.astype(np.float64)), x)
        else:
            assert_close(name, run(x), UNARY[name](x.astype(np.float64)), x)


def test_the_logarithm_to_base_2_of_a_power_of_two_is_exact(
    of_floats: dict[str, Run], of_doubles: dict[str, Run]
) -> None:
    n = np.arange(-1074, 1024 - 1074 % 2)
    n = n[: len(n) // 16 * 16]
    np.testing.assert_array_equal(of_doubles["log2"](2.0**n), n)
    n = np.arange(-148, 124)
    np.testing.assert_array_equal(of_floats["log2"]((2.0**n).astype(np.float32)), n)


# ---- every way to compile --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("lanes", LANES)
def test_every_width_and_target_gives_the_same_bits(dtype: Any, lanes: int) -> None:
    names = [*UNARY, *BINARY]
    x = np.concatenate([borders(dtype), sweep(dtype, 64)])
    y = np.roll(x, 7)
    reference = compiled(names, dtype, 16, host())
    for bits in (512, 256, 128):
        if bits > host().vector_bits:
            continue
        functions = compiled(names, dtype, lanes, host().narrowed(bits))
        for name in names:
            xs = (x, y) if name in BINARY else (x,)
            got, wanted = functions[name](*xs), reference[name](*xs)
            same = (got == wanted) & (np.signbit(got) == np.signbit(wanted)) | np.isnan(got) & np.isnan(wanted)
            assert same.all(), f"{name} of {x[~same][:3]}"


# ---- the tables ------------------------------------------------------------------------------------------------------


def test_the_polynomials_are_those_that_the_tool_finds() -> None:
    root = Path(__file__).parents[2]
    if not (root / "tools" / "minimax.py").exists():
        pytest.skip("the tools are not part of what is installed")
    found = subprocess.run([sys.executable, root / "tools" / "minimax.py"], capture_output=True, text=True, check=True)
    tables = found.stdout.split("\n)\n")[:-1]
    source = "".join([Path(m.__file__).read_text(encoding="utf-8") for m in (vector_maths, vector_angles)])
    assert len(tables) == source.count("= Polynomial(")
    for table in tables:
        assert table.lstrip() in source, f"{table.split()[0]} is another one"
