"""Several ranks train one small model in step, with PyTorch or by hand, and store it in shards.

Hyperparameters: ``torch`` chooses; ``pause_at`` waits there for the signal to stop, unless resumed; ``die_at`` kills
the last rank there; ``invalid`` tells which rank cannot train, or -1 for all.
"""

import json
import os
import signal

import determined as det
from determined import core


class ByHand:
    """The mean of the ranks, taken through the Core API."""

    def __init__(self, distributed: core.DistributedContext) -> None:
        self.distributed = distributed
        self.weight = 0.0

    def step(self) -> float:
        gradients = self.distributed.allgather(self.weight - self.distributed.rank)
        self.weight -= 0.5 * sum(gradients) / len(gradients)
        return self.weight


class ByTorch:
    """The same by DistributedDataParallel."""

    def __init__(self, distributed: core.DistributedContext) -> None:
        import torch
        import torch.distributed as dist

        dist.init_process_group("gloo")
        self.target = torch.tensor([[float(distributed.rank)]])
        linear = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.zeros_(linear.weight)
        self.model = torch.nn.parallel.DistributedDataParallel(linear)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.25)
        self.one = torch.ones(1, 1)

    @property
    def weight(self) -> float:
        return float(self.model.module.weight)

    @weight.setter
    def weight(self, value: float) -> None:
        self.model.module.weight.data.fill_(value)

    def step(self) -> float:
        self.optimizer.zero_grad()
        ((self.model(self.one) - self.target) ** 2).mean().backward()
        self.optimizer.step()
        return self.weight


def main() -> None:
    info = det.get_cluster_info()
    assert info is not None
    hparams = info.trial.hparams
    distributed = core.DistributedContext.from_torch_distributed()
    with core.init(distributed=distributed) as context:
        rank = distributed.rank
        if hparams.get("invalid") in (rank, -1):
            raise det.InvalidHP("these cannot be trained")
        model = ByTorch(distributed) if hparams.get("torch") else ByHand(distributed)
        steps = 0

        def save() -> None:
            with context.checkpoint.store_path({"steps_completed": steps}, shard=True) as (path, _):
                (path / f"rank-{rank}.json").write_text(json.dumps([steps, model.weight]))

        if info.latest_checkpoint is not None:
            with context.checkpoint.restore_path(info.latest_checkpoint) as path:
                steps, model.weight = json.loads((path / f"rank-{rank}.json").read_text())
            print(f"resumed after {steps} steps with {model.weight}", flush=True)
        begin = steps
        for op in context.searcher.operations():
            while steps < op.length:
                if rank == distributed.size - 1 and steps == hparams.get("die_at"):
                    print("dying", flush=True)
                    os.kill(os.getpid(), signal.SIGKILL)
                weight = model.step()
                steps += 1
                if rank == 0:
                    context.train.report_training_metrics(steps, {"weight": weight})
                    op.report_progress(steps)
                stop = context.preempt.should_preempt()
                if steps == hparams.get("pause_at") and not begin:
                    print("waiting for the pause", flush=True)
                    if rank == 0:
                        # The chief listens for the signal, in a thread that ends when it has come.
                        context.preempt._watcher.join()
                    stop = context.preempt.should_preempt()
                if stop:
                    save()
                    return
            save()
            if rank == 0:
                context.train.report_validation_metrics(steps, {"validation_loss": abs(model.weight)})
                op.report_completed(abs(model.weight))
        print(f"ended with {model.weight}", flush=True)


if __name__ == "__main__":
    main()
