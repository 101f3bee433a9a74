"""Every page of the web UI, and states of pages that have an address, of the search that the tests share."""

from __future__ import annotations

EXPERIMENT, TRIAL = "/experiments/1", "/experiments/1/trials/1"
PAGES = {
    "list": "/experiments",
    "overview": f"{EXPERIMENT}/overview",
    "trials": f"{EXPERIMENT}/trials",
    "searcher": f"{EXPERIMENT}/searcher",
    "hparams": f"{EXPERIMENT}/hparams",
    "config": f"{EXPERIMENT}/config",
    "code": f"{EXPERIMENT}/code",
    "logs": f"{EXPERIMENT}/logs",
    "checkpoints": f"{EXPERIMENT}/checkpoints",
    "trial": f"{TRIAL}/metrics",
    "trial-hparams": f"{TRIAL}/hparams",
    "trial-logs": f"{TRIAL}/logs",
    "trial-checkpoints": f"{TRIAL}/checkpoints",
    "trial-history": f"{TRIAL}/history",
    "compare": f"{EXPERIMENT}/compare?t=1,2,3",
    "experiments": "/compare?e=1",
    "cluster": "/cluster",
    "queue": "/queue",
    "settings": "/settings",
}
STATES = {
    "searcher-event": f"{EXPERIMENT}/searcher?event=300",
    "fork": f"{EXPERIMENT}/config?fork=yes",
    "difference": f"{EXPERIMENT}/config?other=1",
    "wrong-filter": f"{EXPERIMENT}/trials?q=nosuch<3",
    "no-row": f"{EXPERIMENT}/trials?q=lr>1e9",
    "no-line": f"{EXPERIMENT}/logs?find=nosuchline",
    "no-experiment": "/experiments/999/overview",
    "no-trial": f"{EXPERIMENT}/trials/99999/metrics",
    "no-such-hparams": f"{EXPERIMENT}/trials/99999/hparams",
    "compare-nothing": f"{EXPERIMENT}/compare",
    "list-filtered": "/experiments?q=nothing+like+it",
}
