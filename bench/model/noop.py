"""Reports one metric and ends; scikit-learn is what a script of this kind imports."""

import sklearn  # noqa: F401  # what the trials of this benchmark are to have loaded

from determined import core

with core.init() as context:
    for op in context.searcher.operations():
        context.train.report_validation_metrics(op.length, {"loss": 0.5})
        op.report_completed(0.5)
