"""A trial of ``syne_tune_local.py``: ``python syne_tune_trial.py --x X --length LENGTH ...``; length 0 is a no-op."""

import argparse

from syne_tune import Reporter


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--x", type=float, required=True)
    parser.add_argument("--length", type=int, required=True)
    args, _ = parser.parse_known_args()
    report = Reporter()
    if not args.length:
        import sklearn  # noqa: F401  # what the trials of this benchmark are to have loaded

        report(epoch=1, loss=args.x)
    for length in range(1, args.length + 1):
        report(epoch=length, loss=args.x + 1 / length)


main()
