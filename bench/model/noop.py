"""Reports one metric and ends; scikit-learn is what a script of this kind imports."""

from determined import core

with core.init() as context:
    for op in context.searcher.operations():
        context.train.report_validation_metrics(op.length, {"loss": 0.5})
        op.report_completed(0.5)
