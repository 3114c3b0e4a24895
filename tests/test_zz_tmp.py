import time
from pathlib import Path
from memory_trial import MemoryTrial
from experiments import gqa_vs_mha as gqa
def test_q(plan):
    for arm in plan("experiment=gqa_vs_mha","task=waves","scale=quick","arm=[mha,mqa]").arms:
        t=MemoryTrial(arm.config,Path()); s=time.perf_counter(); gqa.timing(t)
        print(arm.name, time.perf_counter()-s, {k:round(v,3) for k,v in t.values.items()})
