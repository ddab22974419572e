"""A plan counts what the compiled step does: against texts and sums made by hand."""

import functools
import importlib.metadata
import importlib.util
import re
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import base
from nlrn_jax.errors import UserError
from nlrn_jax.network.build import build_model
from nlrn_jax.planning import flops, hlo, machines
from nlrn_jax.planning.flops import Work
from nlrn_jax.planning.hlo import Collective
from nlrn_jax.planning.machines import TPU_PASSES, Chip, find_machine
from nlrn_jax.planning.plan import largest_share, plan
from nlrn_jax.planning.roofline import Step, TooLargeError, _why, compile_step, estimate
from nlrn_jax.training.state import create_state, train_step

needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="pip install libtpu to compile for a TPU"
)

# ruff: noqa: E501
# Two loops, of 3 rounds (read from the condition) and of 2 within it (told by XLA).
PROGRAM = """
HloModule step

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}

%inner (p: (s32[], f32[8])) -> (s32[], f32[8]) {
  %p = (s32[], f32[8]{0}) parameter(0)
  %g = f32[8]{0} get-tuple-element(%p), index=1
  %r = f32[8]{0:T(128)S(1)} all-reduce(%g), to_apply=%add, metadata={op_name="while/body/norm_1/sum"}
  ROOT %t = (s32[], f32[8]{0}) tuple(%g, %r)
}

%inner_condition (p: (s32[], f32[8])) -> pred[] {
  ROOT %yes = pred[] parameter(0)
}

%body (q: (s32[], f32[3,8])) -> (s32[], f32[3,8]) {
  %q = (s32[], f32[3,8]{1,0}) parameter(0)
  %x = f32[3,8]{1,0} get-tuple-element(%q), index=1
  %y = (f32[8]{0}, /*index=1*/f32[8]{0}) all-reduce(%x, %x), to_apply=%add, metadata={op_name="a/norm_2/sum"}
  %w = (s32[], f32[8]{0}) while(%q), condition=%inner_condition, body=%inner, backend_config={"known_trip_count":{"n":"2"}}
  ROOT %u = (s32[], f32[3,8]{1,0}) tuple(%x, %x)
}

%condition (q: (s32[], f32[3,8])) -> pred[] {
  %q = (s32[], f32[3,8]{1,0}) parameter(0)
  %i = s32[] get-tuple-element(%q), index=0
  %n = s32[] constant(3)
  ROOT %less = pred[] compare(%i, %n), direction=LT
}

ENTRY %main (e: f32[3,8]) -> f32[3,3,8,8] {
  %e = f32[3,8]{1,0} parameter(0)
  %v = (s32[], f32[3,8]{1,0}) while(%e), condition=%condition, body=%body
  %k = (f32[3,3,8,8]{3,2,1,0}, bf16[8]{0}) all-reduce-start(%v, %v), to_apply=%add, metadata={op_name="while"}
  %d = (f32[3,3,8,8]{3,2,1,0}, bf16[8]{0}) all-reduce-done(%k)
  ROOT %o = f32[3,3,8,8]{3,2,1,0} all-gather(%v), dimensions={0}, metadata={op_name="norm_1/x"}
}
"""


def test_collectives_are_counted_as_often_as_their_loops_go_round():
    assert hlo.collectives(PROGRAM) == [
        Collective("all-reduce", "gradients", 1, 4 * 576 + 2 * 8),
        Collective("all-gather", "", 1, 4 * 576),
        Collective("all-reduce", "statistics", 3 + 3 * 2, 3 * 64 + 6 * 32),
    ]


def test_a_loop_of_unknown_length_is_an_error_and_not_counted_once():
    unknown = PROGRAM.replace("direction=LT", "direction=NE")
    with pytest.raises(ValueError, match=r"how often its loop v goes round"):
        hlo.collectives(unknown)


def test_traffic_counts_slices_of_stacks_and_nothing_on_the_chip():
    text = """
%body (p: (s32[], f32[5,100])) -> (s32[], f32[5,100]) {
  %p = (s32[], f32[5,100]{1,0}) parameter(0)
  %x = f32[5,100]{1,0} get-tuple-element(%p), index=1
  %near = f32[100]{0:T(128)S(1)} fusion(%x), kind=kLoop, calls=%inside
  %far = f32[100]{0} negate(%near)
  ROOT %t = (s32[], f32[5,100]{1,0}) tuple(%x, %far)
}

%inside (a: f32[5,100]) -> f32[100] {
  %a = f32[5,100]{1,0} parameter(0)
  ROOT %b = f32[100]{0} reduce(%a), dimensions={0}, to_apply=%add
}

ENTRY %main (e: f32[5,100]) -> f32[5,100] {
  %e = f32[5,100]{1,0} parameter(0)
  ROOT %v = (s32[], f32[5,100]{1,0}) while(%e), body=%body, backend_config={"known_trip_count":{"n":"5"}}
}
"""
    # five rounds: the fusion reads a slice, the negation writes one; the rest stays on the chip
    assert hlo.traffic(text) == 5 * (400 + 400)


def test_traffic_agrees_with_xla_where_there_is_no_loop():
    a = jnp.ones((64, 128)), jnp.ones((128, 256)), jnp.ones((64, 256))
    program = jax.jit(lambda a, b, c: jnp.tanh(a @ b) + c).lower(*a).compile()
    expected = program.cost_analysis()["bytes accessed"]
    assert hlo.traffic(program.as_text()) == pytest.approx(expected, rel=0.01)


def hand_count(config) -> dict[str, float]:
    """Count a training step from the equations of the network: forward, and twice backward."""
    model, n, side = config.model, config.train.batch, config.data.patch
    f, e, pixels = model.filters, model.embedding, side**2
    products = convolutions = 0
    for _ in range(model.steps):
        convolutions += 2 * (9 * f * f) * pixels  # conv_a, conv_b
        convolutions += (2 * f * e + f * f) * pixels  # theta, phi, g
        products += (e + f) * pixels**2  # correlation, response
    convolutions += 2 * 9 * model.channels * f * pixels  # into the features, and out of them
    return {"convolutions": 3 * 2 * n * convolutions, "products": 3 * 2 * n * products}


def counted(config, passes=None) -> Work:
    side, channels = config.data.patch, config.model.channels
    patches = jax.ShapeDtypeStruct((config.train.batch, side, side, channels), np.float32)
    step = functools.partial(train_step, build_model(config), config.train)
    state = jax.eval_shape(lambda: create_state(config))
    jaxpr = jax.make_jaxpr(step)(state, {"input": patches, "target": patches})
    return flops.count(jaxpr, passes)


@pytest.mark.parametrize("steps", [1, 5])
def test_arithmetic_of_every_state_is_counted(tiny_config, steps):
    tiny_config.model.steps = steps
    assert counted(tiny_config).flop == pytest.approx(sum(hand_count(tiny_config).values()))


def test_only_the_products_of_the_correlation_take_six_passes_in_float32(tiny_config):
    by_hand = hand_count(tiny_config)
    expected = by_hand["convolutions"] + 6 * by_hand["products"]
    assert counted(tiny_config, TPU_PASSES).passes == pytest.approx(expected)
    tiny_config.model.dtype = "bfloat16"
    assert counted(tiny_config, TPU_PASSES).passes < 1.5 * sum(by_hand.values())


def test_rematerialisation_does_up_to_a_third_more(tiny_config):
    plain = counted(tiny_config).flop
    tiny_config.model.remat = "states"
    assert 1.1 * plain < counted(tiny_config).flop < 4 / 3 * plain * 1.01


def test_a_step_is_as_slow_as_the_slower_of_arithmetic_and_memory_and_then_the_reductions():
    chip = Chip(peak=1e12, memory=1e9, bandwidth=1e9, interconnect=1e9, passes=None)
    reduced = [Collective("all-reduce", "gradients", 10, 5e6)]
    step = Step(8, {}, Work(4e11, 8e11), 5e8, reduced)
    speed = estimate(step, chip, devices=4, hops=6)
    assert speed.arithmetic == pytest.approx(0.2) and speed.traffic == pytest.approx(0.5)
    assert speed.reductions == pytest.approx(10 * 6 * 1e-6 + 2 * 5e6 / 1e9)
    assert speed.seconds(0.2) == pytest.approx(1.0 + speed.reductions)
    assert speed.seconds(0.8) == pytest.approx(0.5 + speed.reductions)
    assert 1.9 < speed.gain(0.2) < 2


@pytest.mark.parametrize("limit", [0, 1, 3, 17, 48, 1000])
@pytest.mark.parametrize("start", [1, 16])
def test_the_largest_share_is_found_in_few_tries(limit, start):
    tried = []

    def used(share):  # 10 for the weights, 1 a patch, and a jump
        return 10 + share + 5 * (share > 20)

    def fits(share):
        tried.append(share)
        return used(share) if share <= limit else None

    first = used(start) if start <= limit else None
    low, high, count = largest_share(fits, used(limit), start, first)
    assert low <= limit < high <= low + max(1, low // 16)
    assert count == len(tried) <= 6


def test_the_compilers_sum_is_kept_of_its_long_message():
    message = "RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory in memory \
space hbm. Used 20.16G of 15.75G hbm. Exceeded hbm capacity by 4.41G.\n\nTotal hbm usage >= ..."
    assert _why(message) == "Used 20.16G of 15.75G hbm"


def test_a_local_plan_measures_this_machine(tiny_config, monkeypatch):
    memory = SimpleNamespace(total=jax.device_count() * 32 * 2**20)
    monkeypatch.setattr(machines.psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr("nlrn_jax.planning.plan.COMPILATIONS", 1)
    tiny_config.train.batch = 2 * jax.device_count()
    lines = list(plan(tiny_config, "local"))
    text = "\n".join(lines)
    assert lines[0].startswith(f"local: {jax.device_count()} x cpu") and "is measured" in lines[1]
    work = sum(hand_count(tiny_config).values()) / 1e12
    assert f"arithmetic, TFLOP       {work:.3g} on all devices" in text
    assert re.search(r"^steps a second +\d", text, re.MULTILINE)
    largest = re.fullmatch(r"The largest batch is (\d+) .* Found in 1 .*", lines[-1])[1]
    assert int(largest) >= tiny_config.train.batch


@pytest.mark.parametrize(
    "topology", ["v5e", "h100:2x2", "v5e:4", "v5e:2x2x2x2", "v5e:axb", "", "locals"]
)
def test_an_unknown_topology_names_some_that_are(tiny_config, topology):
    with pytest.raises(UserError, match=r"--topology=.* unknown; .*v5e:4x4"):
        next(plan(tiny_config, topology))


def test_a_missing_libtpu_is_one_line_that_says_what_to_install(tiny_config, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError) as error:
        next(plan(tiny_config, "v5e:2x2"))
    wanted = re.search(r"pip install '(libtpu==[\d.*]+)'$", str(error.value))[1]
    assert any(r.startswith(wanted) for r in importlib.metadata.requires("jax"))


@needs_libtpu
@pytest.mark.parametrize("topology, devices", [("v5e:1x1", 1), ("v5e:4x4", 16), ("v4:2x2x1", 4)])
def test_slices_have_a_device_for_each_chip(topology, devices):
    machine = find_machine(topology)
    assert len(machine.devices) == devices
    assert machines.hops(machine.devices) == {1: 0, 16: 12, 4: 4}[devices]


@needs_libtpu
def test_a_slice_that_cannot_be_is_one_line(tiny_config):
    with pytest.raises(UserError, match=r"--topology=v5e:3x3: .*divisible.*such as v5e:1x1"):
        next(plan(tiny_config, "v5e:3x3"))


@needs_libtpu
@pytest.mark.parametrize("batch, nearest", [(18, "16 and 20 would"), (2, "4 and 8 would")])
def test_a_batch_that_the_devices_cannot_share_names_the_nearest(tiny_config, batch, nearest):
    tiny_config.train.batch = batch
    with pytest.raises(UserError, match=f"config.train.batch={batch} does not .*{nearest}"):
        next(plan(tiny_config, "v5e:2x2"))


@needs_libtpu
def test_on_a_tpu_gradients_travel_once_a_step_and_nothing_but_sums_does(tiny_config, monkeypatch):
    monkeypatch.setattr("nlrn_jax.planning.plan.largest_share", lambda *_: (7, 8, 1))
    tiny_config.train.batch = 4
    lines = list(plan(tiny_config, "v5e:2x2"))
    text = "\n".join(lines)
    assert "all-reduce gradients    1 a step" in text
    assert "NOT EXPECTED" not in text and "WARNING" not in text
    statistics = int(re.search(r"all-reduce statistics +(\d+) a step", text)[1])
    assert statistics > 2 * 3 * tiny_config.model.steps  # mean and variance of three norms
    assert (
        lines[-1]
        == "The largest batch is 28 (7 a device); 32 does not fit. Found in 1 more \
compilations."
    )


@pytest.mark.slow  # a minute
@needs_libtpu
def test_a_full_size_step_that_does_not_fit_says_by_how_much():
    config = base.get_config()
    config.train.batch = 128
    with pytest.raises(TooLargeError, match=r"\d\d\.\d\dG.*15\.\d\dG"):
        compile_step(config, find_machine("v5e:1x1"), 128)
