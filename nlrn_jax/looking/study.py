"""Studies: runs that differ in what is studied alone, one after another, and one figure of them.

A study is a recipe with one function more, `members(variant="")`, that names the runs and the
fields each overrides: {"T4": {"model.steps": 4}, ...}. See configs/study_steps.py.
"""

import runpy
from collections.abc import Mapping, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from nlrn_jax.config.checks import check
from nlrn_jax.config.record import flatten, from_json, get, to_json
from nlrn_jax.data.sources import Image
from nlrn_jax.errors import NotFiniteError, UserError
from nlrn_jax.exchanging.start import start_of
from nlrn_jax.looking.compare import (
    Run,
    curve,
    print_summaries,
    read_runs,
    require_same_validation,
    summarize,
)
from nlrn_jax.scoring.validation import Validator
from nlrn_jax.training.curves import draw_study
from nlrn_jax.training.loop import train
from nlrn_jax.training.run import newest_step, require_same_run
from nlrn_jax.training.split import record_split
from nlrn_jax.writing import write_json

STUDIED = ("model.", "train.", "data.patch")  # may be varied: images and seed are the same for all


def read_members(recipe: str, base: ConfigDict, given: Sequence[str]) -> dict[str, ConfigDict]:
    """Return the configurations of a study's members, by name.

    Args:
      recipe: configs/NAME.py, or configs/NAME.py:VARIANT.
      base: the recipe's configuration, with what the command line set.
      given: the fields that the command line set.

    Raises:
      UserError: the recipe is no study, or a member cannot be; names it and the field.
    """
    path, *variant = recipe.split(":", 1)
    members = runpy.run_path(path).get("members")
    if members is None:
        raise UserError(f"{path} has no members(), so it is no study, as configs/study_*.py are")
    configs = {
        name: _member(name, base, overrides, given) for name, overrides in members(*variant).items()
    }
    if len(set(map(to_json, configs.values()))) < max(2, len(configs)):
        raise UserError(f"{path}: a study needs at least two members, and no two alike")
    return configs


def study(
    members: Mapping[str, ConfigDict], workdir: Path, training: list[Image], held_out: list[Image]
) -> list[str]:
    """Train members one after another, each in WORKDIR/NAME; draw and print what they reach.

    Finished members are left as they are, an interrupted one goes on. `study.png` and `study.json`
    are written anew after each member.

    Returns:
      The names of those that diverged.

    Raises:
      UserError: a folder belongs to another configuration, or nothing is validated.
    """
    validators = {name: Validator(config, held_out) for name, config in members.items()}
    for name, config in members.items():
        require_same_run(workdir / name, config)
        if not validators[name]:
            raise UserError(
                "a study compares validation figures: set --config.data.holdout and "
                "--config.checkpoint.validation_share above 0"
            )
    record_split(workdir, training, held_out)  # for members that have yet to start
    fields = varied_fields(members)
    finished, diverged = [], []
    for number, (name, config) in enumerate(members.items(), 1):
        values = ", ".join(f"{field} = {get(config, field)}" for field in fields)
        print(f"{name} ({number} of {len(members)}): {values}", flush=True)
        try:
            _train_member(config, workdir / name, training, validators[name])
        except NotFiniteError as error:  # a finding too, and no reason to lose the others
            print(f"{name}: {error}", flush=True)
            diverged.append(name)
            continue
        finished.append(workdir / name)
        summaries = _draw(read_runs(finished), fields, workdir)
    if finished:
        print_summaries("validation after the last step", fields, summaries)
        print(f"figure       {workdir}/study.png\nfigures      {workdir}/study.json", flush=True)
    return diverged


def varied_fields(members: Mapping[str, ConfigDict]) -> list[str]:
    """List the fields in which members differ."""
    first, *others = map(flatten, members.values())
    return [field for field in first if any(other[field] != first[field] for other in others)]


def _member(
    name: str, base: ConfigDict, overrides: Mapping[str, object], given: Sequence[str]
) -> ConfigDict:
    config = from_json(to_json(base))
    for field, value in overrides.items():
        if field not in flatten(base):
            raise UserError(f"member {name}: the configuration has no field {field}")
        if not field.startswith(STUDIED) or field == "model.channels":
            raise UserError(
                f"member {name}: {field} is not to be varied, for all members see the same images "
                "and validation; vary data.patch, or fields of model or train"
            )
        if field in given:
            raise UserError(f"--config.{field} is what the study varies: leave it to the study")
        section, leaf = field.split(".")
        try:
            config[section][leaf] = value
        except TypeError as error:
            wanted = type(config[section][leaf]).__name__
            raise UserError(f"member {name}: {field}={value!r} is no {wanted}") from error
    try:
        check(config)
    except UserError as error:
        raise UserError(f"member {name}: {error}") from error
    return config


def _train_member(
    config: ConfigDict, workdir: Path, images: list[Image], validator: Validator
) -> None:
    newest = newest_step(workdir)
    if newest >= config.train.steps:
        print(f"finished at step {newest}: left as it is", flush=True)
    else:
        start = start_of(config, workdir)
        if start.remark:
            print(start.remark, flush=True)
        train(config, workdir, images, validator, start.variables)


def _draw(runs: list[Run], fields: list[str], workdir: Path) -> list[dict]:
    require_same_validation(runs)
    summaries = [summarize(run, fields) for run in runs]
    curves = [curve(run) for run in runs]
    field = fields[0] if len(fields) == 1 else "member"
    values = [run.name if len(fields) > 1 else get(run.config, field) for run in runs]
    baseline = summaries[0]["validation"]["baseline"]
    draw_study(workdir / "study.png", field, values, curves, baseline)
    write_json(workdir / "study.json", {"varied": fields, "members": summaries})
    return summaries
