"""The network as ONNX, by jax2onnx, where that is installed: pip install jax2onnx onnxruntime.

It takes no `nn.scan`, but what JAX has traced of one. With a window there are two primitives more
that it does not know (0.17.1), and lets anybody teach it.
"""

import jax
import numpy as np
import pytest
from drawn import close, images
from jax.extend.core import jaxpr_as_fun

from nlrn_jax import load

jax2onnx = pytest.importorskip("jax2onnx", reason="jax2onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


@pytest.fixture(scope="module", autouse=True)
def _two_primitives_more():
    """Teach jax2onnx the branches by device and what a branch leaves open."""
    from jax2onnx.plugins.plugin_system import PrimitiveLeafPlugin, register_primitive

    def teach(name, constant):
        class Plugin(PrimitiveLeafPlugin):
            def lower(self, context, equation):
                result = equation.outvars[0]
                value = np.full(result.aval.shape, constant(equation.params), result.aval.dtype)
                context.bind_const_for_var(result, value)

        register_primitive(
            jaxpr_primitive=name, jax_doc="", onnx=[], since="", testcases=[],
            context="primitives.lax", component=name,
        )(Plugin)  # fmt: skip

    teach("platform_index", lambda params: params["platforms"].index(("cpu",)))
    teach("empty2", lambda params: 0)


@pytest.mark.parametrize("window", [None, 15])
@pytest.mark.parametrize("name", ["denoise", "photo"])
def test_the_shipped_networks_restore_in_onnxruntime(name, window):
    model, variables = load(name)
    model = model.clone(neighborhood=window)
    x = images((2, 21, 24, model.channels))
    traced = jaxpr_as_fun(jax.make_jaxpr(lambda x: model.apply(variables, x))(x))
    network = jax2onnx.to_onnx(lambda x: traced(x)[0], [jax.ShapeDtypeStruct(x.shape, x.dtype)])
    session = onnxruntime.InferenceSession(network.SerializeToString())
    (restored,) = session.run(None, {session.get_inputs()[0].name: x})
    close(restored, model.apply(variables, x))
