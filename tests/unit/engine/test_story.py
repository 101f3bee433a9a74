"""The life of a trial in words."""

from __future__ import annotations

from determined.domain import facts
from determined.domain.facts import DeadlineKind, Verb
from determined.domain.ids import TrialId
from determined.domain.operations import Close, Create, Progress, Shutdown, ValidateAfter
from determined.engine.story import story
from tests.unit.engine.engine_driver import Driver, rid


def test_a_whole_life() -> None:
    driver = Driver()
    driver.create("other")
    driver.post(Create(rid("a"), '{"lr": 1}', "seed", reason="best so far"), ValidateAfter(rid("a"), 100))
    driver.grant("a", slot_ids=(0, 1))
    driver.seen("a")
    for units in (10, 20, 30):
        driver.progress("a", units)
    driver.metrics("a", 30)
    driver.checkpoint("a", "c1", 30)
    driver.preempt("a")
    driver.acknowledge("a")
    driver.exit("a", 0)
    driver.grant("a", slot_ids=())
    driver.exit("a", None, "the machine went down")
    driver.grant("a")
    driver.complete("a", 100, 0.25)
    driver.command(Verb.PAUSE)
    driver.deadline("a", DeadlineKind.PREEMPTION)
    driver.post(Close(rid("a"), "not promoted"), Progress(1.0), Close(rid("other")), Shutdown(reason="enough"))
    driver.cancel("a")
    driver.kill("a")
    driver.exit("a", 137, "killed")
    assert story(driver.history, driver.id_of("a")) == [
        '1. After 2.0 s the search method created it with {"lr": 1}, starting from checkpoint seed (best so far).',
        "2. After 2.0 s the search method asked it to train to 100 and validate.",
        "3. After 3.0 s run 1 got slots 0, 1 on host and was started.",
        "4. After 4.0 s run 1 passed the start line.",
        "5. After 7.0 s run 1 reported progress up to 30 (3 reports).",
        "6. After 8.0 s run 1 reported training metrics at step 30.",
        "7. After 9.0 s run 1 saved checkpoint c1 at step 30.",
        "8. After 10.0 s run 1 was to be preempted by the platform.",
        "9. After 11.0 s run 1 said that it would exit.",
        "10. After 12.0 s run 1 exited with code 0.",
        "11. After 13.0 s run 2 got a place without slots on host and was started.",
        "12. After 14.0 s run 2 ended, and nobody saw how (the machine went down).",
        "13. After 15.0 s run 3 got slots 0 on host and was started.",
        "14. After 16.0 s run 3 completed 100 with metric 0.25.",
        "15. After 17.0 s a user asked to pause the experiment.",
        "16. After 18.0 s run 3 was out of time (preemption).",
        "17. After 19.0 s the search method closed it (not promoted).",
        "18. After 19.0 s the search method ended the search (enough).",
        "19. After 20.0 s a user asked to cancel it.",
        "20. After 21.0 s a user asked to kill it.",
        "21. After 22.0 s run 3 exited with code 137 (killed).",
    ]


def test_an_invalid_point_and_a_failed_method() -> None:
    driver = Driver()
    driver.begin("a")
    driver.invalid_hp("a")
    driver.tell(facts.MethodFailed(at=9.0, message="it raised KeyError"))
    lines = story(driver.history, driver.id_of("a"))
    assert lines[-2:] == [
        "5. After 4.0 s run 1 said that its hyperparameters are invalid.",
        "6. After 9.0 s the search method failed: it raised KeyError.",
    ]


def test_times_count_from_the_first_fact() -> None:
    history: list[facts.Fact] = [
        facts.ExperimentCreated(at=1000.0, active=True),
        facts.OperationsPosted(at=1002.5, operations=(Create(rid("a"), {}),), trigger=None, first_trial_id=TrialId(1)),
    ]
    assert story(history, TrialId(1)) == ["1. After 2.5 s the search method created it with {}."]


def test_trials_that_never_were_have_no_story() -> None:
    driver = Driver()
    driver.create("a")
    driver.post(Progress(0.5), Shutdown(), Create(rid("late"), {}))
    driver.post(Create(rid("too late"), {}))
    assert story(driver.history, TrialId(9)) == []
    assert story([], TrialId(1)) == []
    assert story(driver.history, TrialId(2)) == []
    driver = Driver()
    driver.command(Verb.CANCEL)
    driver.post(Create(rid("too late"), {}))
    assert story(driver.history, TrialId(1)) == []
