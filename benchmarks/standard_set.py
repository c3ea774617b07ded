"""The standard set: one synthetic GPU trace, the same bytes on every machine, for comparing sizes and
speeds.

columns(n) gives plain NumPy arrays; whoever measures puts them into the format under test. Everything is
drawn from one seeded generator. Names follow a Zipf law, streams are skewed, durations and gaps are
lognormal, launch shapes go with the name, correlation ids rise with gaps: about what a training step
looks like.

Sizes known for n = 1,000,000 (bytes per event; timestamp, duration, correlation, name id and stream):
  Kineto JSON with full args 539, gzip 26.3 | packed 24-byte struct 24, zstd 10.3 | Parquet v2 zstd 5.64
  delta-varint columns 7.29, zstd-3 5.38   | byte-shuffled columns zstd-3 4.89  | order-0 entropy 4.67
"""

import numpy as np

NAMES = [
    f"void at::native::vectorized_elementwise_kernel<4, at::native::Functor_{i:03d}<float>, "
    f"at::detail::Array<char*, {i % 4 + 2}> >(int, float)"
    if i % 3
    else f"ampere_sgemm_{32 * (i % 4 + 1)}x{64 * (i % 2 + 1)}_tn_{i:03d}"
    for i in range(100)
]


def columns(n=1_000_000, seed=7):
    rng = np.random.default_rng(seed)
    weight = 1 / np.arange(1, len(NAMES) + 1)
    name = rng.choice(len(NAMES), n, p=weight / weight.sum()).astype(np.uint32)
    stream = rng.choice([7, 20, 24, 28], n, p=[0.70, 0.15, 0.10, 0.05]).astype(np.uint32)
    duration = np.maximum(500, rng.lognormal(np.log(8000), 1.0, n)).astype(np.uint64)
    gap = np.maximum(1, rng.lognormal(np.log(1500), 0.8, n)).astype(np.uint64)
    timestamp = (np.cumsum(duration // 3 + gap) + 1_700_000_000_000_000_000).astype(np.uint64)
    correlation = np.cumsum(rng.choice([1, 1, 2, 3, 7], n)).astype(np.uint64)
    grid = rng.integers(1, 4096, len(NAMES))[name].astype(np.uint32)
    block = rng.choice([64, 128, 256, 512], len(NAMES))[name].astype(np.uint32)
    return {
        "timestamp": timestamp,
        "duration": duration,
        "stream": stream,
        "correlation": correlation,
        "name": name,
        "grid": grid,
        "block": block,
    }
