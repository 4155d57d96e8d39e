# SPDX-License-Identifier: LGPL-2.1-or-later
# seeds.py - runs a check for many seeds, several at once; a failure prints its seed.
#
#   SCRIPT [--seed N] [--count M] [--jobs J]
#
# STRATA_SEED=N is --seed N --count 1; STRATA_COUNT=M is --count M, for a long run.
import argparse
import collections
import concurrent.futures
import functools
import os
import signal
import sys

from functions import TestFailure


def attempt(check_seed, seed):
    """In a worker process: what was counted, or the text of the failure."""
    try:
        return seed, check_seed(seed), None
    except TestFailure as failure:
        return seed, None, str(failure)


def report_failure(seed, message):
    print(f"FAIL: seed {seed}: {message}\n"
          f"again: STRATA_SEED={seed} {sys.executable} {sys.argv[0]}", flush=True)


def run_seeds(check_seed, seeds, jobs):
    counts, failed = collections.Counter(), 0
    with concurrent.futures.ProcessPoolExecutor(jobs) as pool:
        for seed, counted, message in pool.map(functools.partial(attempt, check_seed), seeds,
                                               chunksize=4):
            if message is None:
                counts["graphs equal the model"] += 1
                counts.update(counted)
            else:
                report_failure(seed, message)
                failed += 1
    print("; ".join(f"{count} {what}" for what, count in counts.items()) + f"; {failed} failed")
    return failed


def main(check_seed, count):
    """check_seed(seed): raises TestFailure, or returns {what: how many} for the summary."""
    environment = os.environ.get("STRATA_SEED")
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=int(environment or 1))
    parser.add_argument("--count", type=int,
                        default=1 if environment else int(os.environ.get("STRATA_COUNT", count)))
    parser.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1))
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    seeds = range(options.seed, options.seed + options.count)
    sys.exit(1 if run_seeds(check_seed, seeds, options.jobs) else 0)
