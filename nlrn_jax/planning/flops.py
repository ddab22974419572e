"""How much a traced program multiplies: its convolutions and matrix products, loops multiplied out.

XLA's own cost analysis counts the body of a loop once, however often it runs; the jaxpr knows.
"""

import math
from typing import NamedTuple

import jax


class Work(NamedTuple):
    """Two operations (multiply, add) for each product of a convolution or matrix product.

    Attributes:
      flop: operations.
      passes: the same, each as often as the chip repeats it: see `Chip.passes`.
    """

    flop: float = 0.0
    passes: float = 0.0

    def plus(self, other: "Work", times: int = 1) -> "Work":
        """Return the sum of this and `times` of the other."""
        return Work(self.flop + times * other.flop, self.passes + times * other.passes)


def count(jaxpr, passes: dict[str, int] | None = None) -> Work:
    """Count a jaxpr, of `jax.make_jaxpr` or `jax.jit(...).trace`, with all that it calls.

    Args:
      jaxpr: Jaxpr or ClosedJaxpr.
      passes: how often the chip repeats a float32 product at each precision; None: never.

    Raises:
      ValueError: a loop whose length is not known before it runs.
    """
    work = Work()
    for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        name, params = equation.primitive.name, equation.params
        if name in ("dot_general", "conv_general_dilated"):
            flop = (_of_product if name == "dot_general" else _of_convolution)(equation)
            work = work.plus(Work(flop, flop * _repeats(equation, passes)))
        elif name == "scan":
            work = work.plus(count(params["jaxpr"], passes), params["length"])
        elif name == "cond":  # branches for platforms do the same work in other ways
            work = work.plus(max(count(branch, passes) for branch in params["branches"]))
        elif name == "while":
            raise ValueError("a loop of unknown length cannot be counted")
        else:
            for called in _called(params):
                work = work.plus(count(called, passes))
    return work


def _of_product(equation) -> float:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = equation.invars[0].aval.shape
    return 2.0 * math.prod(equation.outvars[0].aval.shape) * math.prod(left[i] for i in contracted)


def _of_convolution(equation) -> float:
    """Count every tap, those on the zero padding as well."""
    kernel = equation.invars[1].aval.shape
    features = kernel[equation.params["dimension_numbers"].rhs_spec[0]]
    return 2.0 * math.prod(equation.outvars[0].aval.shape) * math.prod(kernel) / features


def _repeats(equation, passes) -> int:
    if passes is None or all(v.aval.dtype != jax.numpy.float32 for v in equation.invars):
        return 1
    precision = equation.params["precision"]
    precision = precision[0] if isinstance(precision, tuple) else precision
    return passes["default" if precision is None else precision.name.lower()]


def _called(params) -> list:
    values = [v for value in params.values() for v in (value if _is_list(value) else [value])]
    return [value for value in values if hasattr(getattr(value, "jaxpr", value), "eqns")]


def _is_list(value) -> bool:
    return isinstance(value, list | tuple)
