"""Train on several devices, on one machine or on several machines, with tf.distribute."""

import json
import os
import re
import signal

import numpy as np
import tensorflow as tf

from utils.errors import InputError
from utils.runtime import keras_internals
from utils.runtime.devices import Devices

# TensorFlow's errors when another worker has ended.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)


class Replicated(Devices):
    """Train data-parallel: each device has a replica of the model, which computes the gradient of a part of the batch.

    A step gives the same weights, within rounding, as a step of one device on
    the whole batch. The train step of Keras 3 gives other weights, so `attach`
    replaces it. Keras's step differs in three ways. It averages the mean losses of the
    replicas, although the replicas have different numbers of words. It clips
    the gradient of each replica before it adds the gradients. And it fails on
    several machines, because it reduces the scalar loss along axis 0 (keras
    issue 20585).

    On several machines, each has one process, called a worker. The first worker is the chief.

    Args:
        strategy: a MirroredStrategy or MultiWorkerMirroredStrategy.
        workers: a list of the workers' addresses, the chief's first; empty on one machine.

    Attributes:
        replicas: the number of replicas on all machines together.
        chief: True if this process is the chief, which computes the validation scores and writes the files.
    """

    def __init__(self, strategy, workers=()):
        self.strategy, self.workers = strategy, workers
        self.replicas = strategy.num_replicas_in_sync
        self.chief = strategy.extended.should_checkpoint
        self._sum_of_chief = tf.function(self._add_up, reduce_retracing=True)

    def __exit__(self, kind, error, trace):
        if self.workers and isinstance(error, _LOST):
            lost = re.search(r"/job:(\w+)/replica:0/task:(\d+)", str(error).partition("remote target")[2])
            cluster = self.strategy.cluster_resolver.cluster_spec()
            who = f"the worker at {cluster.task_address(lost[1], int(lost[2]))}" if lost else "another worker"
            raise InputError(
                f"{who} has ended or cannot be reached: read its error message, then start all {len(self.workers)} "
                "workers again, with --resume if the training had begun"
            ) from None

    def scope(self):
        """Return a context manager in which variables are created on all devices."""
        return self.strategy.scope()

    def attach(self, model, loss):
        """Make `model.fit` use all devices.

        Args:
            model: a compiled Keras model. Its trainable variables and its optimizer were created in `scope`.
            loss: the model's loss, a MeanLoss. Its method `sums` returns the sum of the losses and the number of words.
        """
        strategy, variables, (tracker,) = self.strategy, model.trainable_variables, model.metrics

        def sums(data):
            inputs, targets = data
            with tf.GradientTape() as tape:
                total, count = loss.sums(targets, model(inputs, training=True))
                # `model.losses` has the losses that layers add, which are means over the counted words. Keras's own
                # step would add them, too.
                total += count * sum(model.losses)
            return tape.gradient(total, variables), total, count

        @tf.function
        def step(data):
            gradients, total, count = strategy.run(sums, args=(data,))
            values = [*gradients, total, count]
            places = [variable.value for variable in [*variables, *variables[:1], *variables[:1]]]
            reduced = strategy.extended.batch_reduce_to("SUM", list(zip(values, places)))
            *gradients, total, count = (strategy.experimental_local_results(value)[0] for value in reduced)
            count = tf.maximum(count, 1.0)
            # Applied outside the replicas, so that the gradient of the whole batch is clipped.
            model.optimizer.apply([gradient / count for gradient in gradients], variables)
            tracker.update_state(total / count)
            return {"loss": tracker.result()}

        model.train_function = lambda iterator: step(next(iterator))
        keras_internals.forget_strategy(model)

    def dataset(self, batches, epoch, step):
        """Return the training data of this process's replicas, which is a part of every batch.

        Args:
            batches: a Batches, which loads the training batches.
            epoch: the number of the epoch, from 0.
            step: the number of the first step, from 0. The earlier steps of the epoch are left out.

        Returns:
            A tf.distribute.DistributedDataset.
        """

        def parts(context):
            here = self.replicas // context.num_input_pipelines
            first = context.input_pipeline_id * here
            dataset = batches.dataset(epoch, step, range(first, first + here), self.replicas)
            # Without this, the workers ask each other before every step whether data is left.
            return dataset.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))

        return self.strategy.distribute_datasets_from_function(parts)

    def begin(self, variables):
        """Give all replicas the same values of the variables, but each replica its own random states for dropout.

        The values are those of the chief, the first process. Other processes
        may have computed values that differ by rounding. The random states are
        those of Keras's SeedGenerators. Each replica adds its number to them. So
        a checkpoint needs only the states of the first replica, number 0.

        Args:
            variables: a list of all Keras variables of the training.
        """
        if self.workers:
            for variable, value in zip(variables, self._chiefs([np.asarray(v.numpy()) for v in variables])):
                variable.assign(value)
        states = [variable.value for variable in variables if variable.path.endswith("seed_generator_state")]

        def set_apart():
            number = tf.distribute.get_replica_context().replica_id_in_sync_group
            for state in states:
                state.assign(state + tf.cast(tf.stack([number, 0]), state.dtype))

        self.strategy.run(tf.function(set_apart))

    def from_chief(self, value):
        """Return the `value` that the chief, the first worker, passes. All workers must call this.

        Args:
            value: any value that can be written as JSON. Only the chief's value is used.
        """
        if not self.workers:
            return value
        text = np.frombuffer(json.dumps(value).encode(), "uint8")
        (size,) = self._chiefs([np.array(len(text))])
        (text,) = self._chiefs([text if self.chief else np.zeros(size, "uint8")])
        return value if self.chief else json.loads(text.tobytes())

    def _chiefs(self, arrays):
        """Return the chief's NumPy arrays on all workers. The chief is the first worker.

        Args:
            arrays: a list of arrays. All workers must pass arrays of the same shapes and types.
        """
        # Not every device can add integers. The integers here fit into float64.
        numbers = [a if a.dtype.kind == "f" else a.astype("float64") for a in arrays]
        sums = self._sum_of_chief([tf.constant(number) for number in numbers])
        return [value.numpy().astype(array.dtype) for value, array in zip(sums, arrays)]

    def _add_up(self, arrays):
        """Return the first replica's tensors on all workers.

        They are computed as a sum over all replicas, for which the other replicas replace their tensors by zeros.

        Args:
            arrays: a list of this worker's tensors.
        """

        def mine(arrays):
            first = tf.distribute.get_replica_context().replica_id_in_sync_group == 0
            return [tf.where(first, array, tf.zeros_like(array)) for array in arrays]

        values = self.strategy.run(mine, args=(arrays,))
        return [self.strategy.reduce("SUM", value, axis=None) for value in values]

    def check_same(self, **facts):
        """Check that all workers pass the same values. All workers must call this.

        Args:
            facts: values that can be written as JSON. Their names appear in the error.

        Raises:
            InputError: a value differs from the chief's.
        """
        theirs, mine = self.from_chief(facts), json.loads(json.dumps(facts))
        different = ", ".join(name.replace("_", " ") for name in facts if theirs[name] != mine[name])
        if different:
            raise InputError(
                f"this worker and the first differ in {different}: start all workers with the same flags, on the same "
                "data, and with one shared --output_dir"
            )


def open_replicated(kind, say):
    """Connect several devices for training. Call this before anything is computed.

    Args:
        kind: "mirrored" for all GPUs of this machine, or all its logical CPU devices if it has no GPU;
            "multiworker" for the machines in the environment variable TF_CONFIG.
        say: a function that shows lines of text to the user.

    Returns:
        A Replicated, which trains on these devices.

    Raises:
        InputError: this machine cannot be connected with the others.
    """
    if kind == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        distribution = Replicated(tf.distribute.MirroredStrategy([device.name for device in devices]))
    else:
        workers, number = _read_cluster()
        say(f"worker {number + 1} of {len(workers)}: waiting for {', '.join(workers)}")
        # While TensorFlow waits, Python cannot handle Ctrl-C. The system's default handler ends the process.
        handler = signal.signal(signal.SIGINT, signal.SIG_DFL)
        try:
            distribution = Replicated(tf.distribute.MultiWorkerMirroredStrategy(), workers)
        except (tf.errors.OpError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:150]
            raise InputError(f"TF_CONFIG: worker at {workers[number]} cannot be started ({reason})") from None
        finally:
            signal.signal(signal.SIGINT, handler)
    say(f"every batch is shared by {distribution.replicas} devices")
    return distribution


def _read_cluster():
    """Read the workers' addresses from the environment variable TF_CONFIG.

    Returns:
        (addresses, number): a list of the workers' addresses, the chief's
        first, and the index of this process in the list.

    Raises:
        InputError: TF_CONFIG is not set, or names no workers.
    """
    text = os.environ.get("TF_CONFIG", "")
    if not text:
        raise InputError(
            "TF_CONFIG: not set; --distribute multiworker reads the workers from it, see docs/several_machines.md"
        )
    try:
        config = json.loads(text)
        cluster, task = config["cluster"], config["task"]
        workers = [*cluster.get("chief", []), *cluster["worker"]]
        number = int(task["index"]) + (len(cluster.get("chief", [])) if task["type"] == "worker" else 0)
        if task["type"] not in ("chief", "worker") or set(cluster) - {"chief", "worker"}:
            raise ValueError("only a chief and workers can train")
        workers[number]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise InputError(
            f"TF_CONFIG: does not name workers and this one ({error!r}); see docs/several_machines.md"
        ) from None
    return workers, number
