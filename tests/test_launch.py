"""The scripts for machines that are not here: what they would run, with stand-ins for the tools."""

import importlib.metadata
import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from string import Template

import jax
import jax.numpy as jnp
import pytest
import yaml
from skimage import data

from launch.deblur import blurring, deblur, denoisers
from nlrn_jax.scoring.metrics import psnr
from nlrn_jax.training.processes import FOR_GPUS

ROOT = Path(__file__).parents[1]
LAUNCH = ROOT / "launch"
FLAGS = ("--config=configs/sr_x3.py", "--workdir=/shared/my runs/x")


@pytest.fixture
def tools(tmp_path):
    """Put stand-ins first on the path that write their arguments down and end as told."""

    def run(script, *arguments, status=0, **environment):
        for name in ("srun", "scontrol", "gcloud"):
            tool = tmp_path / "bin" / name
            tool.parent.mkdir(exist_ok=True)
            write_down = f'printf "%s\\0" {name} "$@" >>"$LOG"; echo >>"$LOG"'
            end = status if name == "srun" else 0
            tool.write_text(f"#!/bin/bash\n{write_down}\nexit {end}\n")
            tool.chmod(0o755)
        log = tmp_path / "log"
        log.write_text("")
        path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
        environment |= {"PATH": path, "LOG": str(log), "TMPDIR": str(tmp_path)}
        done = subprocess.run(
            ["bash", LAUNCH / script, *arguments], env=environment, capture_output=True, text=True
        )
        return done, [call.split("\0") for call in log.read_text().split("\0\n")[:-1]]

    return run


@pytest.fixture
def submitted_from(tmp_path):
    """Make a folder that has a Python, as the repository root of a cluster has."""
    python = tmp_path / "root" / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/bash\n")
    python.chmod(0o755)
    return str(tmp_path / "root")


@pytest.mark.parametrize("script", [*LAUNCH.glob("*.sh"), LAUNCH / "slurm.sbatch"], ids=str)
def test_scripts_are_bash_that_stops_at_an_error(script):
    assert subprocess.run(["bash", "-n", script]).returncode == 0
    assert "\nset -euo pipefail\n" in script.read_text()


@pytest.mark.parametrize("script", ["tpu_pod.sh", "slurm.sbatch"])
def test_wrong_arguments_get_one_line_of_usage(tools, script):
    done, calls = tools(script, "--steps=3", SLURM_JOB_ID="7")
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ") and done.stderr.count("\n") == 1
    assert not calls


def test_slurm_starts_a_process_for_each_gpu_and_keeps_its_flags_whole(tools, submitted_from):
    slurm = {"SLURM_JOB_ID": "7", "SLURM_SUBMIT_DIR": submitted_from, "SLURM_GPUS_ON_NODE": "8"}
    done, calls = tools("slurm.sbatch", *FLAGS, **slurm)
    assert done.returncode == 0, done.stderr
    program = [".venv/bin/python", "-m", "nlrn_jax.main", "--distributed=auto", *FLAGS]
    assert calls == [["srun", "--ntasks-per-node=8", *program]]


@pytest.mark.parametrize("status, requeued", [(75, True), (1, False), (130, False)])
def test_slurm_queues_a_run_again_that_saved_and_no_other(tools, submitted_from, status, requeued):
    slurm = {"SLURM_JOB_ID": "7", "SLURM_SUBMIT_DIR": submitted_from}
    done, calls = tools("slurm.sbatch", *FLAGS, status=status, **slurm)
    assert done.returncode == status
    assert (["scontrol", "requeue", "7"] in calls) == requeued


def test_slurm_says_where_to_submit_from(tools, tmp_path):
    done, calls = tools("slurm.sbatch", *FLAGS, SLURM_JOB_ID="7", SLURM_SUBMIT_DIR=str(tmp_path))
    assert done.returncode == 1 and "submit from the repository root" in done.stderr
    assert not calls


def test_a_tpu_pod_is_sent_the_program_and_runs_it_on_all_workers(tools):
    if subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True).returncode:
        pytest.skip("not a git checkout")
    done, (copy, train) = tools("tpu_pod.sh", "my-slice", "us-west4-a", *FLAGS)
    assert done.returncode == 0, done.stderr
    assert copy[:5] == ["gcloud", "compute", "tpus", "tpu-vm", "scp"]
    assert copy[6:] == ["my-slice:nlrn_jax.tar.gz", "--zone=us-west4-a", "--worker=all"]
    listing = subprocess.run(["tar", "-tzf", copy[5]], capture_output=True, text=True).stdout
    assert "nlrn_jax/main.py" in listing.splitlines()
    assert train[:6] == ["gcloud", "compute", "tpus", "tpu-vm", "ssh", "my-slice"]
    remote = train[-1].removeprefix("--command=")
    assert subprocess.run(["bash", "-nc", remote]).returncode == 0
    last = shlex.split(remote.strip().splitlines()[-1])
    assert last[:5] == ["exec", ".venv/bin/python", "-m", "nlrn_jax.main", "--distributed=auto"]
    assert tuple(last[5:]) == FLAGS


def test_the_job_set_takes_all_chips_of_the_slice_that_it_names():
    names = {"NAME": "nlrn", "IMAGE": "r/i:t", "CLAIM": "c", "CONFIG": "a.py", "WORKDIR": "/data/x"}
    text = (LAUNCH / "jobset.yaml").read_text()
    assert set(re.findall(r"\$([A-Z]+)", text)) == set(names)
    manifest = yaml.safe_load(Template(text).substitute(names))
    assert (manifest["kind"], manifest["metadata"]["name"]) == ("JobSet", "nlrn")
    (job,) = manifest["spec"]["replicatedJobs"]
    job = job["template"]["spec"]
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    rows, columns = pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"].split("x")
    chips = container["resources"]["limits"]["google.com/tpu"]
    assert chips * job["parallelism"] == int(rows) * int(columns)
    assert job["completions"] == job["parallelism"] and job["completionMode"] == "Indexed"
    assert container["image"] == "r/i:t" and "--workdir=/data/x" in container["args"]
    assert "--distributed=auto" in container["args"]
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["volumes"]}


def test_the_dockerfile_copies_what_is_there_and_names_an_extra_of_jax():
    text = (LAUNCH / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (\S+) \S+$", text, re.MULTILINE)
    assert copied and all((ROOT / source).exists() for source in copied)
    extras = importlib.metadata.metadata("jax").get_all("Provides-Extra")
    for extra in re.findall(r"JAX=(\w+)", text):
        assert extra in extras
    entry = json.loads(re.search(r"^ENTRYPOINT (\[.*\])$", text, re.MULTILINE)[1])
    assert entry == ["python", "-m", "nlrn_jax.main"]


def test_all_name_the_same_cuda():
    default = re.search(r"^ARG JAX=(\w+)$", (LAUNCH / "Dockerfile").read_text(), re.MULTILINE)[1]
    assert f"jax[{default}]" in (LAUNCH / "multi_gpu.sh").read_text()
    assert f"jax[{default}]" in FOR_GPUS


def test_the_example_deblurs_with_our_denoiser():
    eye = jnp.asarray(data.chelsea()[90:138, 160:208, 1] / 255, jnp.float32)
    transfer = blurring(eye.shape)
    blurred = jnp.fft.irfft2(transfer * jnp.fft.rfft2(eye), eye.shape)
    sharp = jax.jit(deblur, static_argnums=0)(denoisers()["nlrn_jax"], blurred, transfer)
    assert psnr(sharp, eye) > psnr(blurred, eye) + 2


def test_the_example_blurs_by_a_box_about_each_pixel():
    spot = jnp.zeros((12, 15)).at[6, 7].set(1)
    blurred = jnp.fft.irfft2(blurring(spot.shape) * jnp.fft.rfft2(spot), spot.shape)
    wanted = jnp.zeros((12, 15)).at[2:11, 3:12].set(1 / 81)
    assert abs(blurred - wanted).max() < 1e-6
