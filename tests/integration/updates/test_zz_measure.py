import time, numpy as np
from tests.bundles import bundles, good_bundle
from tests.releases import boxes, centre, settle
from tests.integration.updates.test_bundle_over_mqtt import *
def test_measure(centre, boxes, session, publish):
    def padded(directory):
        with np.load(directory / "golden.npz") as arrays:
            np.savez(directory / "golden.npz", padding=np.zeros(8_500_000, np.uint8), **arrays)
    for change in (None, padded):
        r = centre.release(change=change)
        t=time.perf_counter(); n = publish(); t1=time.perf_counter()
        box = boxes.start(session.source(), selftest=None)
        t2=time.perf_counter(); o = box.check(); t3=time.perf_counter()
        print(o.result, r.size, n, "publish", t1-t, "check", t3-t2)
        settle(box)
        t2=time.perf_counter(); o = box.check(); t3=time.perf_counter(); print("warm", o.result, t3-t2)
        t2=time.perf_counter(); boxes.start(session.source()); print("start", time.perf_counter()-t2)
