from kseg.pipelines.manifest import Shard
from kseg.pipelines.run_settings import RunSettings


def test_a_run_is_whole_and_goes_on_unless_it_is_told_otherwise():
    run = RunSettings()
    assert (run.shard, run.resume, run.retry_failed, run.relist) == (Shard(1, 1), True, False, False)
