"""Compare training on two devices with training on one, and kill a worker."""

import json
import signal
import socket

import numpy as np
import pytest

from tests.fresh_process import FreshProcess
from tests.runtime import distribution_worker
from tests.runtime.distribution_worker import SETTINGS, weights
from tests.training.training_worker import make_trainer
from utils.errors import InputError
from utils.runtime.distribution import open_distribution
from utils.training.batches import Batches


def two_addresses():
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return [f"127.0.0.1:{port}" for port in ports]


def run_two_workers(addresses, folder, stage, moments=("", "")):
    """Run two workers at the same time. Returns a list of (status, standard output, standard error) for each.

    Args:
        addresses: the addresses of the two workers.
        folder, stage, moments: as for `main` in distribution_worker.py, with a moment for each worker.
    """
    cluster = {"worker": addresses}
    configs = [json.dumps({"cluster": cluster, "task": {"type": "worker", "index": n}}) for n in (0, 1)]
    processes = [
        FreshProcess(distribution_worker.main, "multiworker", folder, [stage], moment, TF_CONFIG=config)
        for config, moment in zip(configs, moments)
    ]
    try:
        return [process.finish() for process in processes]
    finally:
        for process in processes:
            process.kill()


def assert_as_on_one_device(folder, stage, path):
    """Check that the weights in `folder` equal, within rounding, the weights of training on one device.

    One training step changes the weights by 1e-3 to 1e-2.
    """
    trainer = make_trainer(path / f"one-{stage}", stage, **SETTINGS)
    trainer.fit()
    one, two = weights(trainer), np.load(folder / "weights.npz")
    assert len(one) == len(two.files)
    for (name, expected), value in zip(one.items(), two.values()):
        np.testing.assert_allclose(value, expected, atol=2e-6, rtol=0, err_msg=name)


@pytest.mark.slow
def test_two_devices_give_the_same_weights_as_one(tmp_path):
    """Batches have three photos of ten. So one device has fewer photos than the other, and none in the last batch."""
    stages = ("regions", "grounded", "tagging", "finetuning")
    status, output, error = FreshProcess(distribution_worker.main, "mirrored", tmp_path, stages).finish()
    assert status == 0, error
    assert "every batch is shared by 2 devices" in output
    for stage in stages:
        assert_as_on_one_device(tmp_path / stage, stage, tmp_path)


@pytest.mark.slow
def test_a_killed_worker_ends_the_others_and_the_run_is_resumed(tmp_path):
    """First the worker that is not the chief is killed, then the chief. The weights must be those of one device."""
    for victim, moments in ((1, ("", "step:3")), (0, ("step:4", ""))):
        addresses = two_addresses()
        results = run_two_workers(addresses, tmp_path, "regions", moments)
        assert results[victim][0] == -signal.SIGKILL
        status, _, error = results[1 - victim]
        assert status == 2, error
        assert f"error: the worker at {addresses[victim]} has ended" in error.splitlines()[-1]
        assert "--resume" in error.splitlines()[-1]
        assert "Traceback" not in error
    results = run_two_workers(two_addresses(), tmp_path, "regions")
    assert [status for status, _, _ in results] == [0, 0], results
    assert_as_on_one_device(tmp_path / "regions", "regions", tmp_path)


def test_the_parts_of_a_batch_together_equal_the_batch(tmp_path):
    """The augmentation of a photo does not depend on the number of replicas."""
    batches = make_trainer(tmp_path, "finetuning").batches
    assert isinstance(batches, Batches)
    for step in (0, batches.steps_per_epoch - 1):
        for whole, *parts in zip(batches.batch(1, step), *(batches.batch(1, step, part, 3) for part in range(3))):
            assert np.array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("", "TF_CONFIG: not set"),
        ("{", "does not name workers"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}', "does not name workers"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "evaluator", "index": 0}}', "only a chief and workers"),
        ('{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "worker", "index": 0}}', "only a chief"),
    ],
)
def test_errors_in_tf_config_are_reported(monkeypatch, config, message):
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(InputError, match=message):
        open_distribution("multiworker", print)
